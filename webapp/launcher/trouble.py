from __future__ import annotations


class Trouble(Exception):
    """Something that keeps Canopy from starting, said in one sentence that tells what to do."""
