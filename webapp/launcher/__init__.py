"""Starts and watches every process of a one-machine installation: ``manage.py serve`` and ``manage.py demo``."""
