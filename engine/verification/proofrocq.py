"""Proofs in Rocq (Coq), checked by ``coqc`` in the sandbox.

The problem gives the statement, the model only the tactics between ``Proof.`` and ``Qed.``. Three walls: what is no
tactic is rejected before anything runs (commands begin with a capital letter, tactics do not); ``coqc`` must accept
the whole; and the axioms that ``Print Assumptions`` lists must be those of classical real analysis. ``Admitted`` would
compile, but then the theorem itself is listed.
"""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path

from engine.sandbox.types import MIB, Task
from engine.sandbox.view import PROGRAMS
from engine.verification.extraction import fenced_block
from engine.verification.prooftext import first_word_among, without_comments, words
from engine.verification.types import Bench, Gold, Unfit, Verdict, needed

# Reals alone takes 0.4 to 1.1 s to load; 40 s is for hard calls of nra on a busy machine.
_SECONDS = 40.0
_MEMORY_MB = 2048
# Most statements load only what they speak about. The arithmetic tactics come first, so that a statement's own imports
# still decide about notations.
_TACTICS = "Require Import Lia Lra Psatz."
_CONFIGURATION = tuple(path for path in (Path("/etc/ocamlfind.conf"),) if path.exists())  # Debian's coqc wants it
_ALLOWED_AXIOMS = re.compile(
    r"(Coq\.Reals\.|Stdlib\.Reals\.)?ClassicalDedekindReals\.\w+"
    r"|((Coq|Stdlib)\.Logic\.)?(FunctionalExtensionality\.)?functional_extensionality_dep"
    r"|((Coq|Stdlib)\.Logic\.)?Classical_Prop\.classic"
)
# The second wall behind "no capital letter": tactics and attributes that leave holes or switch checks off.
_FORBIDDEN = words(
    """
    Admitted Admit admit give_up Abort Axiom Axioms Parameter Parameters Conjecture Hypothesis Variable Variables Unset
    Set Load Require Import Export Extraction Redirect Declare Drop Cd Quit Restart Undo Goal Theorem Lemma Definition
    Fixpoint Instance Notation Ltac Ltac2 Tactic Print Check Eval Compute Search Fail Time Timeout Add Module Section
    End Context Opaque Transparent bypass_check native_compute external
    """
)
_SENTENCE_END = re.compile(r"\.(?=\s|$)")
_BULLETS = re.compile(r"(?:[-+*{}]|\d+(?:\s*[,-]\s*\d+)*\s*:(?!=)|all\s*:|par\s*:|!\s*:|\[\s*\w+\s*\]\s*:|\s)+")
_TACTIC = re.compile(r"[a-z_(\[]")


class RocqVerifier:
    name = "proof-rocq"
    title = "Rocq proof"
    help = "Puts the model's tactics under the problem's statement and has coqc check them, axioms included (miniF2F)."
    requires = ("statement",)
    isolated = False

    def essence(self, text: str) -> str:
        return proof_script(text)

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        statement, theorem = needed(gold, "statement"), needed(gold, "theorem")
        script = proof_script(text)
        if problem := not_a_proof(script):
            return Verdict("wrong", reason=f"Rejected: {problem}.")
        statement = statement_only(statement)
        source = f"{_TACTICS}\n{statement}\nProof.\n{script}\nQed.\nPrint Assumptions {theorem}.\n"
        seconds = max(_SECONDS, bench.settings.seconds)
        limits = bench.limits(
            seconds,
            memory=max(_MEMORY_MB, bench.settings.memory_mb) * MIB,
            processes=4,  # psatz starts a solver
        )
        result = bench.run(
            Task((coqc(), "-q", "proof.v"), files={"proof.v": source.encode()}, read=_CONFIGURATION, limits=limits)
        )
        level = result.level.label
        if result.ending == "timeout":
            return Verdict("timeout", reason=f"Not checked after {seconds:g} s.", level=level)
        if not result.ok:
            line, complaint = _complaint(result.stderr.decode("utf-8", "replace"))
            # An anomaly is coqc's own failure, and what fails inside the statement is not the model's.
            blameless = "Anomaly" in complaint or line <= statement.count("\n") + 2
            return Verdict("error" if blameless else "wrong", reason=complaint, level=level)
        axioms = assumptions(result.stdout.decode("utf-8", "replace"))
        if axioms is None:
            return Verdict("error", reason="coqc did not print what the proof assumes.", level=level)
        foreign = [axiom for axiom in axioms if not _ALLOWED_AXIOMS.fullmatch(axiom)]
        if foreign:
            return Verdict("wrong", reason=f"Assumes {', '.join(foreign)}.", level=level)
        return Verdict("correct", "proved", level=level)


@cache
def coqc() -> str:
    """The compiler's path. Raises Unfit where it is not installed."""
    found = shutil.which("coqc", path=PROGRAMS)
    if found is None:
        raise Unfit("coqc is not installed on this worker: apt-get install coq, or use a worker that has it.")
    return found


def statement_only(statement: str) -> str:
    """What comes before the proof: many files end in ``Proof.``, and some in ``Proof. Admitted.``"""
    return re.split(r"\bProof\b\s*\.", statement, maxsplit=1)[0].rstrip()


def proof_script(text: str) -> str:
    """The tactics in a model's text: its first fenced block or all of it, after ``Proof.`` and before ``Qed.``"""
    block = fenced_block(text, ("coq", "rocq", "v"))
    script = text if block is None else block
    script = re.split(r"\bProof\s*\.", script, maxsplit=1)[-1]
    return re.split(r"\b(?:Qed|Defined)\s*\.", script, maxsplit=1)[0].strip()


def not_a_proof(script: str) -> str:
    """Why ``script`` is not accepted as tactics; empty when it is."""
    if '"' in script:
        return "a proof may not contain quotation marks"
    try:
        plain = without_comments(script, "(*", "*)")
    except ValueError as error:
        return str(error)
    if not plain.strip():
        return "there is no proof in the text"
    if word := first_word_among(plain, _FORBIDDEN):
        return f"a proof may not contain {word}"
    if "#[" in plain:
        return "a proof may not contain attributes"
    for sentence in _SENTENCE_END.split(plain):
        start = _BULLETS.match(sentence)
        tactic = sentence[start.end() :] if start else sentence
        if tactic and not _TACTIC.match(tactic):
            return f"{' '.join(tactic.split())[:40]} is no tactic"
    return ""


def assumptions(output: str) -> list[str] | None:
    """The names that ``Print Assumptions``, the last command, listed; None when it printed nothing.

    Anything it lists in another form (a theory it was compiled with, a check that was switched off) counts as a name.
    """
    lines = output.rstrip().splitlines()
    if lines and lines[-1].strip() == "Closed under the global context":
        return []
    start = max((number for number, line in enumerate(lines) if line.strip() == "Axioms:"), default=None)
    if start is None:
        return None
    return [line.split(":")[0].strip() for line in lines[start + 1 :] if line and not line[0].isspace()]


def _complaint(stderr: str) -> tuple[int, str]:
    """(line, coqc's error, which is several lines after the place). Line 0 when it names none."""
    place = re.search(r"^File .*, line (\d+)", stderr, re.MULTILINE)
    _, _, error = stderr.partition("Error:")
    return int(place.group(1)) if place else 0, " ".join((error or stderr).split()) or "coqc rejected it."
