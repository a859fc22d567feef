"""What an interpreter has of Meep, as JSON on standard output; standard library until Meep itself is imported."""

import json
import os
import warnings


def found():
    """Facts, each absent where it could not be learnt."""
    facts = {}
    try:
        import numpy

        facts["numpy"] = numpy.__version__
    except ImportError as error:
        facts["error"] = str(error)
        return facts
    try:
        import meep as mp
    except Exception as error:  # noqa: BLE001 - a broken build may raise anything
        facts["error"] = f"{type(error).__name__}: {error}"
        facts["absent"] = isinstance(error, ModuleNotFoundError) and error.name == "meep"
        return facts
    facts["file"] = getattr(mp, "__file__", None)
    facts["real"] = hasattr(mp, "Simulation") and hasattr(mp, "MaterialGrid")
    if not facts["real"]:
        return facts
    facts["version"] = getattr(mp, "__version__", "unknown")
    facts["mpi"] = bool(mp.with_mpi())
    mp.verbosity(0)
    try:
        import meep.adjoint

        facts["adjoint"] = True
    except Exception as error:  # noqa: BLE001
        facts["adjoint"] = False
        facts["adjoint_error"] = f"{type(error).__name__}: {error}"
    facts["mpb"] = False  # stays so where the next lines abort the process
    report(facts)
    try:
        cell = mp.Simulation(cell_size=mp.Vector3(2, 2), resolution=8, default_material=mp.Medium(epsilon=2))
        cell.init_sim()
        line = mp.Volume(center=mp.Vector3(), size=mp.Vector3(0, 1))
        cell.get_eigenmode(0.5, mp.X, line, 1, mp.Vector3(0.7))
        facts["mpb"] = True
    except Exception as error:  # noqa: BLE001
        facts["mpb_error"] = f"{type(error).__name__}: {error}"
    return facts


def report(facts):
    """One line to the real standard output."""
    os.write(OUTPUT, (json.dumps(facts) + "\n").encode())


if __name__ == "__main__":
    OUTPUT = os.dup(1)
    os.dup2(2, 1)  # Meep prints there whatever its verbosity
    warnings.filterwarnings("ignore")
    report(found())
    os._exit(0)
