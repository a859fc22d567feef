"""Pulls a sheet at both grips until it is torn."""

import numpy as np
from engine import engine, setup

FREE, LEFT, RIGHT = 1, 2, 3
SAMPLE_STEPS = 5
MARGIN_ANGSTROM = 30.0
KEPT_SHARE = 0.9
# A sheet is torn where its load stays below this share of the greatest, and where no bonds join the grips any more or
# the mean over so many points is below the smaller share. Ringing of the torn ends and single chains go on meanwhile.
HELD_SHARE, LOST_SHARE, LOST_POINTS = 0.3, 0.1, 5


def pull(header, arrays):
    """Forces on the grips at multiples of the strain step, each the mean over one step about it.

    Arrays: ``positions`` ``n x 3`` in angstrom and ``types`` (1 free, 2 left grip, 3 right grip). Gives the forces in
    eV/A, positive in tension, the temperature of the free atoms in K, and the number of points the sheet held for.
    """
    positions, types = arrays["positions"].copy(), arrays["types"]
    rng = np.random.default_rng(header["seed"])
    positions[:, 2] += header["imperfection_angstrom"] * rng.standard_normal(len(positions))
    seeds = rng.integers(1, 2**29, size=3)
    # Room for the pull and for flaps that rise; what flies farther is debris, and is forgotten.
    low, high = positions.min(axis=0), positions.max(axis=0)
    stretch_angstrom = header["points"] * header["strain_step"] * header["gauge_angstrom"]
    room = MARGIN_ANGSTROM + 0.5 * np.array([stretch_angstrom, 0.0, max(high[:2] - low[:2])])
    with engine() as (lammps, scratch):
        box = [(float(a), float(b)) for a, b in zip(low - room, high + room, strict=True)]
        setup(lammps, scratch, header, positions, types, box, "f f f")
        lammps.command("thermo_modify lost ignore")
        equilibrate(lammps, header, seeds)
        return stretch(lammps, header, seeds[2])


def equilibrate(lammps, header, seeds):
    """Relaxes the sheet between resting grips and brings it to temperature."""
    hot, step = header["temperature_k"], header["timestep_ps"]
    lammps.commands_list(
        [
            f"group free type {FREE}",
            f"group left type {LEFT}",
            f"group right type {RIGHT}",
            f"timestep {step!r}",
            # Their first component is the force on the grip before it is set to zero.
            "fix onleft left setforce 0 0 0",
            "fix onright right setforce 0 0 0",
            "compute warmth free temp/partial 0 1 1",
            "compute_modify warmth extra/dof 0",
            f"compute pieces all cluster/atom {header['bond_end_angstrom'] - 1e-6!r}",
            "min_style cg",
            "min_modify line quadratic",
            "minimize 0 1e-3 500 1000",
            f"velocity free create {2 * hot!r} {seeds[0]} dist gaussian",
            "fix motion free nve",
            f"fix bath free langevin {hot!r} {hot!r} {header['damping_ps']!r} {seeds[1]}",
            f"run {round(header['equilibration_ps'] / step)} post no",
            "unfix bath",
        ]
    )


def stretch(lammps, header, seed):
    """Moves the grips apart."""
    points, hot, gauge = header["points"], header["temperature_k"], header["gauge_angstrom"]
    # Two runs for each step of strain: the mean about a point is over the second half before and the first one after.
    half = header["strain_step"] / 2
    steps = max(1, round(half / (header["rate_per_ps"] * header["timestep_ps"])))
    speed = half * gauge / (steps * header["timestep_ps"]) / 2
    every = SAMPLE_STEPS if steps % SAMPLE_STEPS == 0 else 1
    thermostat = [
        f"fix bath free langevin {hot!r} {hot!r} {header['damping_ps']!r} {seed}",
        # Not along x: friction against a resting frame would drag on the moving sheet.
        "fix_modify bath temp warmth",
    ]
    lammps.commands_list(
        [
            "reset_timestep 0",
            *(thermostat if header["thermostat"] != "xyz" else thermostat[:1]),
            "variable low equal bound(left,xmax)",
            "variable high equal bound(right,xmin)",
            f"velocity free ramp vx {-speed!r} {speed!r} x $(v_low) $(v_high) sum yes units box",
            f"velocity left set {-speed!r} 0 0 units box",
            f"velocity right set {speed!r} 0 0 units box",
            f"fix toleft left move linear {-speed!r} 0 0 units box",
            f"fix toright right move linear {speed!r} 0 0 units box",
            f"fix means all ave/time {every} {steps // every} {steps} f_onleft[1] f_onright[1] c_warmth",
        ]
    )
    halves, curve, torn, atoms = [], [], False, lammps.get_natoms()
    for number in range(2 * points + 1):
        lammps.command(f"run {steps} pre {'no' if number else 'yes'} post no")
        halves.append([lammps.extract_fix("means", 0, 1, column) for column in range(3)])
        if number == 0 or number % 2:
            continue
        left, right, kelvin = np.mean(halves[-2:], axis=0)
        curve.append((left, -right, kelvin))
        check_sound(lammps, curve[-1], atoms)
        held = torn_after(lammps, np.array(curve), header["floor"])
        if held is not None:
            torn = True
            break
    left, right, kelvin = np.array(curve).T
    return (
        {"torn": torn, "held": held if torn else len(curve)},
        {"left": left, "right": right, "temperature": kelvin},
    )


def check_sound(lammps, point, atoms):
    """``RuntimeError`` where the integration has blown up."""
    if not np.isfinite(point).all():
        raise RuntimeError("Expected finite forces and temperatures. Got NaN or infinity; shorten timestep_ps.")
    left = lammps.get_natoms()
    if left < KEPT_SHARE * atoms:
        raise RuntimeError(
            f"Expected a sheet that loses but debris. Got {left:.0f} of {atoms:.0f} atoms left; shorten timestep_ps."
        )


def torn_after(lammps, curve, floor):
    """How many points the sheet held for; None while it holds. ``floor`` is a load that counts, in eV/A."""
    force = curve[:, :2].mean(axis=1)
    peak = int(force.argmax())
    held = int(np.flatnonzero(force >= HELD_SHARE * force[peak])[-1]) + 1 if force[peak] > 0 else len(force)
    if held == len(force):
        return None
    recent = force[-LOST_POINTS:]
    lost = len(force) - held >= LOST_POINTS and force[peak] > floor and recent.mean() < LOST_SHARE * force[peak]
    return held if lost or severed(lammps) else None


def severed(lammps):
    """Whether no chain of bonds joins the grips."""
    pieces = lammps.numpy.extract_compute("pieces", 1, 1)
    types = lammps.numpy.extract_atom("type")[: len(pieces)]
    return not np.intersect1d(pieces[types == LEFT], pieces[types == RIGHT]).size
