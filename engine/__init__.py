"""The science behind the experiments. Usable from a notebook: no Django, no Celery, no database."""
