"""One measured claim a file, the peer run side by side in the same process."""
