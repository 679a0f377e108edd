"""Runs hostile programs: own namespaces, Landlock, seccomp, limits, no network. docs/verifiers.md says what holds.

``process`` starts programs, ``probe`` finds out which layers this machine allows. Everything that runs on the other
side of the fence starts in ``launcher``. This file imports nothing, because the launcher is started for every program
and each import would cost milliseconds; for the same reason the launcher's modules use neither typing nor dataclasses.
"""
