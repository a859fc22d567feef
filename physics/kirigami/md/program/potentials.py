"""Interatomic potentials of carbon from the files that LAMMPS ships, with the onset of their bond cutoff moved."""

import re
from pathlib import Path

FILES = {"tersoff": "SiC.tersoff", "rebo": "CH.rebo", "airebo": "CH.airebo"}
STYLES = {"tersoff": "tersoff", "rebo": "rebo", "airebo": "airebo 3.0 1 1"}
STEP_ANGSTROM = 1e-9


def commands(name, bond_range, shipped, scratch):
    """LAMMPS commands that set the potential for three types of atoms, all carbon.

    ``bond_range`` is where the cutoff function begins and ends to fall, in angstrom; ``shipped`` is the folder of
    LAMMPS' own files, ``scratch`` one for the edited copy.
    """
    text = (Path(shipped) / FILES[name]).read_text()
    onset, end = bond_range
    # A step is made a range that no atom is ever found in, so that nothing is divided by zero.
    text = (tersoff if name == "tersoff" else rebo)(text, onset, max(end, onset + STEP_ANGSTROM))
    copy = Path(scratch) / FILES[name]
    copy.write_text(text)
    return [f"pair_style {STYLES[name]}", f'pair_coeff * * "{copy}" C C C']


def rebo(text, onset, end):
    """The file of (AI)REBO with other ``rcmin_CC``, ``rcmax_CC`` and, for the conjugation, ``rcmaxp_CC``."""
    for key, value in (("rcmin_CC", onset), ("rcmax_CC", end), ("rcmaxp_CC", end)):
        text, found = re.subn(rf"(?m)^[ \t]*\S+([ \t]+{key}\b)", rf"{value!r}\1", text)
        if found != 1:
            raise ValueError(f"Expected one line {key} in the parameters of AIREBO and REBO. Got {found}.")
    return text


def tersoff(text, onset, end):
    """Of the file of Tersoff the entry of carbon alone, with R - D at the onset and R + D at the end."""
    words = re.sub(r"#.*", "", text).split()
    found = [i for i in range(len(words) - 16) if words[i : i + 3] == ["C"] * 3]
    if len(found) != 1:
        raise ValueError(f"Expected one entry C C C in the parameters of Tersoff. Got {len(found)}.")
    entry = words[found[0] : found[0] + 17]
    entry[13], entry[14] = repr((end + onset) / 2), repr((end - onset) / 2)
    return " ".join(entry) + "\n"
