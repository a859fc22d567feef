"""Watch a photonic device being designed: `python -m examples.live_design`.

80 x 80 cells of silicon and glass, Maxwell's equations solved at three wavelengths for every frame. What you see is the
density that was just solved; the run stops as soon as a binary design meets the specification, and is then checked on
a mesh of half the cells. `--browser` shows it in a browser instead, `--no-display` prints lines.
"""

from __future__ import annotations

import argparse
import base64
import io
import time
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.image import imsave
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from invdesign import Budget, DensitySpace, Evaluator, Problem, Result, Target, run
from invdesign.points import at_sharpness, verify
from invdesign.progress import uncharged
from invdesign.strategies.adjoint import proposing
from invdesign.strategies.descent import SolveFailed, Vector, descend
from invdesign.strategies.start import first_theta
from physics.base import Array
from physics.devices import PortDevice, beam_splitter, waveguide_bend

BAND_UM = (1.53, 1.55, 1.57)
CELL_UM = 0.025
FRAME_SECONDS = 0.05  # shortest time between two frames
DARK, BRIGHT = np.array([16, 24, 48]), np.array([255, 196, 64])


def bend() -> Problem:
    """A bend of 2 um a side that transmits at least 97 %."""
    device = waveguide_bend(BAND_UM, design_um=2.0, pixel_um=CELL_UM, cells_um=CELL_UM)
    return _problem(device, "diagonal", Target("transmission", at={"port": "out"}, lower=0.97))


def splitter() -> Problem:
    """A splitter of 2 um a side that sends at least 47 % into each output."""
    device = beam_splitter(BAND_UM, design_um=(2.0, 2.0), separation_um=1.2, pixel_um=CELL_UM, cells_um=CELL_UM)
    return _problem(device, "mirror_y", Target("transmission", lower=0.47))


def _problem(device: PortDevice, symmetry: str, target: Target) -> Problem:
    space = DensitySpace(device.design_shape, pixel_um=CELL_UM, symmetry=symmetry, filter_radius_um=0.1)
    return Problem(space, device, [target])


Function = Callable[[Vector], tuple[float, Vector]]
DEVICES: dict[str, Callable[[], Problem]] = {"bend": bend, "splitter": splitter}


@dataclass(frozen=True)
class ToSpecification:
    """L-BFGS-B through growing sharpness from a grey start, until what would be made meets the targets.

    Args:
        betas: sharpness of the projection, a stage each.
        evaluations: most solves a stage.
        most: most solves in all.
    """

    betas: tuple[float, ...] = (4.0, 16.0, 64.0)
    evaluations: int = 15
    most: int = 10_000
    name: str = "to specification"

    def __call__(self, problem: Problem, evaluator: Evaluator, rng: np.random.Generator) -> None:
        """Runs the strategy."""
        while True:
            theta = first_theta(problem, None, rng)
            for beta in self.betas:
                evaluator.stage = f"sharpness {beta:g}"
                function = self._until(proposing(at_sharpness(problem, beta), evaluator, 0), evaluator)
                theta = descend(function, theta, optimizer="lbfgsb", evaluations=self.evaluations)
                made = verify(problem, evaluator, theta, evaluator.stage)
                if evaluator.meter.solves >= self.most or (made is not None and made.distance == 0):
                    return

    def _until(self, function: Function, evaluator: Evaluator) -> Function:
        """The function, which ends its descent once there were enough solves."""

        def limited(theta: Vector) -> tuple[float, Vector]:
            if evaluator.meter.solves >= self.most:
                raise SolveFailed(f"{self.most} solves")
            return function(theta)

        return limited


@dataclass
class Watch:
    """What is shown: the last density and response, how the worst transmission grew, and how fast it goes."""

    problem: Problem
    started: float = field(default_factory=time.perf_counter)
    iterations: int = 0
    history: list[float] = field(default_factory=list)
    density: Array | None = None
    transmission: Array | None = None
    stage: str = ""
    met_after: float | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def see(self, evaluator: Evaluator) -> bool:
        """Takes in what is new; whether there was anything."""
        solved = [r for r in evaluator.records[self.iterations :] if r.response is not None]
        if self.met_after is None:
            self.seconds, self.cpu_seconds = time.perf_counter() - self.started, evaluator.meter.cpu_seconds
            if evaluator.best is not None and evaluator.best.distance == 0:
                self.met_after = self.seconds
        self.stage = evaluator.stage
        if not solved or evaluator.stage in ("checking convergence", "done"):
            return False
        self.iterations = len(evaluator.records)
        self.density, self.transmission = solved[-1].design, solved[-1].response["transmission"]
        self.history += [float(r.response["transmission"].min()) for r in solved]
        return True

    @property
    def rate(self) -> float:
        """Value and gradient, all wavelengths, per second."""
        return self.iterations / max(self.seconds, 1e-9)

    def line(self) -> str:
        """The state in one line."""
        worst = self.history[-1] if self.history else 0.0
        count = f"{self.iterations:4d} iterations  {self.rate:5.1f}/s"
        return f"{self.seconds:6.2f} s  {count}  worst {worst:.4f}  {self.stage}"


def picture(watch: Watch, pixels: int) -> Array:
    """The density as an image, ``pixels x pixels x 3`` bytes or fewer, rows from the top."""
    density = np.asarray(watch.density)
    step = -(-max(density.shape) // pixels)
    nx, ny = (n // step for n in density.shape)
    coarse = density[: nx * step, : ny * step].reshape(nx, step, ny, step).mean(axis=(1, 3))
    return np.round(DARK + (BRIGHT - DARK) * coarse.T[::-1, :, None]).astype(np.uint8)


def blocks(image: Array) -> Text:
    """An image in half blocks: two rows of it a line of text."""
    text = Text()
    for upper, lower in zip(image[0::2], image[1::2], strict=False):
        for a, b in zip(upper, lower, strict=True):
            text.append("▀", style=f"rgb({a[0]},{a[1]},{a[2]}) on rgb({b[0]},{b[1]},{b[2]})")
        text.append("\n")
    return text


def bars(watch: Watch, width: int = 24) -> Text:
    """The transmission of each port and wavelength as bars, and the history below."""
    text = Text(f"{watch.iterations} iterations, {watch.rate:.1f} a second\n{watch.seconds:.1f} s, {watch.stage}\n\n")
    fidelity = watch.problem.reference
    ports, wavelengths = fidelity.quantity("transmission").coords.values()
    for port, row in zip(ports, np.asarray(watch.transmission), strict=True):
        for wavelength, value in zip(wavelengths, row, strict=True):
            text.append(f"{port:>6} {1000 * wavelength:.0f} nm ")
            text.append("█" * round(width * value), style="rgb(255,196,64)")
            text.append("·" * (width - round(width * value)) + f" {value:.3f}\n")
    recent = watch.history[-(width + 20) :]
    text.append("\nworst " + "".join("▁▂▃▄▅▆▇█"[min(7, int(8 * max(v, 0.0)))] for v in recent) + "\n")
    if watch.met_after is not None:
        text.append(f"\nspecification met after {watch.met_after:.1f} s", style="bold green")
    return text


def frame(watch: Watch, console: Console) -> Table:
    """One frame for a terminal."""
    table = Table.grid(padding=(0, 2))
    rows = max(10, min(40, console.height - 2))
    table.add_row(blocks(picture(watch, min(2 * rows, max(20, console.width - 48)))), bars(watch))
    return table


def write_page(watch: Watch, path: Path, done: bool) -> None:
    """One self-contained page with the picture and the numbers; it reloads itself until the end."""
    buffer = io.BytesIO()
    imsave(buffer, picture(watch, 400), format="png")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    reload = "" if done else '<meta http-equiv="refresh" content="0.4">'
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{reload}<title>Live design</title><style>'
        "body{background:#101830;color:#eee;font:16px monospace;display:flex;gap:2em;padding:2em}"
        "img{width:480px;image-rendering:pixelated}</style></head><body>"
        f'<img alt="density" src="data:image/png;base64,{encoded}"><pre>{bars(watch).plain}</pre></body></html>\n'
    )
    part = path.with_suffix(".part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)  # a browser never sees half a page


def watched(
    problem: Problem, show: Callable[[Watch, bool], None], *, frames: int | None = None, seed: int = 0
) -> tuple[Result, Watch]:
    """Designs to specification and calls ``show(watch, done)`` while it goes.

    Args:
        problem: what is wanted.
        show: draws.
        frames: most iterations; None for as many as it takes, within two CPU minutes.
        seed: of the start.
    """
    problem.simulator.prepare(problem.reference_level)  # type: ignore[attr-defined]
    watch, last = Watch(problem), 0.0

    def observe(evaluator: Evaluator) -> None:
        nonlocal last
        now = time.perf_counter()
        if watch.see(evaluator) and now - last >= FRAME_SECONDS:
            show(watch, False)
            last = now

    strategy = ToSpecification() if frames is None else ToSpecification(most=frames)
    result = run(problem, strategy, budget=Budget(cpu_seconds=120), seed=seed, observer=uncharged(observe))
    show(watch, True)
    return result, watch


def report(result: Result, watch: Watch) -> str:
    """How it ended."""
    best, check = result.best, result.check
    if best is None:
        return "Nothing was verified."
    text = f"worst transmission {best.response['transmission'].min():.4f}"
    if check is not None:
        text += f", on a mesh of half the cells {check.response['transmission'].min():.4f}"
    met = "not met" if watch.met_after is None else f"met after {watch.met_after:.2f} s"
    spent = f"{watch.iterations} iterations, {watch.rate:.1f} a second, {watch.cpu_seconds:.2f} CPU s"
    return f"Specification {met} ({spent}): {text}."


def main(arguments: Sequence[str] | None = None) -> tuple[Result, Watch]:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m examples.live_design", description=__doc__)
    parser.add_argument("--device", choices=DEVICES, default="bend")
    parser.add_argument("--frames", type=int, help="stop after so many iterations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-display", action="store_true", help="print lines")
    parser.add_argument("--browser", nargs="?", const="live_design.html", type=Path, help="write this page and open it")
    asked = parser.parse_args(arguments)
    problem, console = DEVICES[asked.device](), Console()
    if asked.browser is not None:
        opened = False

        def page(watch: Watch, done: bool) -> None:
            nonlocal opened
            write_page(watch, asked.browser, done)
            if not opened and not asked.no_display:
                opened = webbrowser.open(asked.browser.resolve().as_uri())

        result, watch = watched(problem, page, frames=asked.frames, seed=asked.seed)
    elif asked.no_display or not console.is_terminal:
        result, watch = watched(problem, lambda watch, done: print(watch.line()), frames=asked.frames, seed=asked.seed)
    else:
        with Live(console=console, auto_refresh=False) as live:
            result, watch = watched(
                problem,
                lambda watch, done: live.update(frame(watch, console), refresh=True),
                frames=asked.frames,
                seed=asked.seed,
            )
    print(report(result, watch))
    return result, watch


if __name__ == "__main__":
    main()
