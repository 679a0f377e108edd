"""The science behind the experiments. Usable from a notebook: no Django, no Celery, no database."""

import os

# Waiting OpenMP threads spin by default, and a step has hundreds of parallel loops: with other processes on the same
# cores that made sampling 5 to 10 times slower. Read when torch is first imported, so it is set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
