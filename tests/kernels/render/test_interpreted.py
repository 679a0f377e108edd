from pathlib import Path

from tests.kernels.interpreter import run_interpreted


def test_the_triton_versions_in_the_interpreter() -> None:
    run_interpreted(Path(__file__).with_name("interpreted.py"))
