"""Forward solvers that carry their own gradients, and the contract they share."""
