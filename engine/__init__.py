"""The science behind the experiments. Usable from a notebook: no Django, no Celery, no database."""

import os

# How long a waiting OpenMP thread spins before it sleeps; a decoding step has hundreds of parallel loops. Never
# sleeping is the fastest on idle cores, but several times slower as soon as another process wants one of them; sleeping
# at once wastes a third of an idle machine. A short spin loses little in both. Read when torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "500")
