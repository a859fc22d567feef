"""Which rungs measurement admits to a ladder, where they are of several trainings."""

from itertools import pairwise

import numpy as np
import pytest

from surrogates.nas.fidelity import RungReport, admitted, from_pilot, measured
from surrogates.nas.lab import Rung
from surrogates.nas.table import TableLab
from tests.surrogates.nas.problems import live_task, made_up_table

N = 200
WHOLE = (Rung(3), Rung(9), Rung(27))
FEW, COARSE = Rung(9, share=0.3), Rung(9, resolution=12)


def report_of(*given: tuple[Rung, float, float]) -> dict[Rung, RungReport]:
    """Of rungs with their CPU seconds and the noise on what they tell of the last one's errors."""
    rng = np.random.default_rng(0)
    last = rng.normal(size=N)
    errors = np.stack([last + noise * rng.normal(size=N) for _, _, noise in given], axis=1)
    seconds = np.broadcast_to([cost for _, cost, _ in given], errors.shape)
    reports = measured([rung for rung, _, _ in given], errors, last, seconds, resamples=100)
    return {report.rung: report for report in reports}


def test_a_cheap_rung_of_another_training_comes_first():
    reports = report_of((FEW, 0.5, 1.0), (WHOLE[0], 3.0, 1.0), (WHOLE[1], 9.0, 0.5), (WHOLE[2], 27.0, 0.1))
    # What the cheap one tells, the first epochs tell no better, for six times the cost.
    assert reports[FEW].correlation == pytest.approx(reports[WHOLE[0]].correlation, abs=0.1)
    assert admitted(list(reports.values()))[0] == FEW


def test_a_rung_that_a_cheaper_one_of_another_training_outdoes_is_left_out():
    given = (FEW, 0.5, 0.3), (WHOLE[0], 3.0, 1.0), (WHOLE[1], 9.0, 0.1), (WHOLE[2], 27.0, 0.01)
    assert admitted(list(report_of(*given).values())) == (FEW, *WHOLE[1:])
    # A dearer one does not come between the rungs of one training.
    dearer = (COARSE, 6.0, 0.4), (WHOLE[0], 3.0, 1.0), (WHOLE[1], 9.0, 0.1), (WHOLE[2], 27.0, 0.01)
    assert admitted(list(report_of(*dearer).values())) == WHOLE
    # One that ranks by chance is not wanted, however cheap.
    chance = (FEW, 0.01, 100.0), (WHOLE[0], 3.0, 1.0), (WHOLE[1], 9.0, 0.1), (WHOLE[2], 27.0, 0.01)
    reports = report_of(*chance)
    assert reports[FEW].interval[0] < 0.3 and admitted(list(reports.values())) == WHOLE


@pytest.mark.parametrize("seed", range(20))
def test_any_measurement_gives_a_ladder_that_a_task_takes(seed):
    rng = np.random.default_rng(seed)
    own = np.sort(rng.uniform(0.1, 30, size=3))
    costs = [*rng.uniform(0.1, 30, size=3), *own]
    rungs = (FEW, COARSE, Rung(5, resolution=8), *WHOLE)
    reports = report_of(*zip(rungs, costs, rng.uniform(0, 2, size=6), strict=True))
    ladder = admitted(list(reports.values()))
    chosen = [reports[rung] for rung in ladder]
    assert ladder[-1] == WHOLE[-1]
    for below, above in pairwise(chosen):
        assert below.cpu_seconds < above.cpu_seconds and below.per_second > above.per_second
    task = live_task(rungs=ladder)
    whole = [k for k, rung in enumerate(ladder) if rung in WHOLE]
    assert whole == list(range(task.first(len(ladder) - 1), len(ladder)))


def test_reports_outlive_json():
    for report in report_of((Rung(3, share=0.5, level=0, resolution=8), 0.5, 0.3), (Rung(9), 2.0, 0.1)).values():
        assert RungReport.from_json(report.to_json()) == report
        assert str(report).startswith(f"{report.rung.key}: rank correlation")


def test_a_pilot_begins_no_network_beyond_its_share():
    table = made_up_table()
    some = list(table.architectures[:40])
    lab = TableLab(table)
    (first, *_) = from_pilot(lab, some, most_cpu_seconds=600.0, resamples=50)
    assert 4 < first.networks < 40
    other = TableLab(table)
    from_pilot(other, some[: first.networks - 1], resamples=50)
    assert other.spent < 600.0 <= lab.spent
    (least, *_) = from_pilot(TableLab(table), some, most_cpu_seconds=0.0, resamples=50)
    assert least.networks == 4
