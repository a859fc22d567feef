"""SIGKILL in the middle of a real run, then the same command again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.kill_and_resume import fingerprint, finish, kill_after, prepare


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_bend_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = prepare(tmp_path / "whole", solves=60)
    seconds = finish(whole, workers=0)
    cut = prepare(tmp_path / "cut", solves=60)
    killed = [kill_after(cut, share * seconds, workers=0) for share in (0.3, 0.5, 0.7)]
    assert any(killed)
    finish(cut, workers=0)
    assert fingerprint(cut) == fingerprint(whole)
