from pathlib import Path

from kernels.detection import reference
from tests.kernels.detection.checks import check_overlaps
from tests.kernels.interpreter import run_interpreted


def test_the_triton_version_in_the_interpreter() -> None:
    run_interpreted(Path(__file__).with_name("interpreted.py"))


def test_the_plain_overlaps() -> None:
    check_overlaps(reference.best_overlaps, "cpu", 4, 500, 70)
