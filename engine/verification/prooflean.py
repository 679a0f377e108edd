"""Proofs in Lean 4, checked by a server that the operator runs and that speaks the Kimina protocol.

    POST {url}/verify  {"codes": [{"custom_id", "proof"}], "timeout": s}
    -> {"results": [{"custom_id", "error", "response": {"messages": [{"severity", "data"}], "sorries"}}]}

(github.com/project-numina/kimina-lean-server.) The problem gives the statement, the model only a tactic block. What
could be a command is rejected before anything is sent, and so are quotation marks, without which a proof can print no
text that looks like the server's; the server must report no error and no ``sorry``; and ``#print axioms`` must list
none but Lean's three.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from engine.verification.extraction import fenced_block
from engine.verification.post import PostError, PostTimeout, post_json
from engine.verification.prooftext import first_word_among, without_comments, words
from engine.verification.types import Bench, Gold, Unfit, Verdict, needed

_SECONDS = 60.0
_ALLOWED_AXIOMS = frozenset({"propext", "Classical.choice", "Quot.sound"})
# Commands end a tactic block wherever they stand; the rest are holes, back doors, or ways to write new commands.
_FORBIDDEN = words(
    """
    sorry admit axiom constant opaque theorem lemma def abbrev example instance structure class inductive mutual
    namespace section end import export universe variable variables macro macro_rules syntax notation infix infixl
    infixr prefix postfix elab elab_rules declare_syntax_cat initialize attribute deriving unsafe partial private
    protected noncomputable set_option run_cmd run_meta run_tac native_decide implemented_by extern reduceBool
    ofReduceBool ofReduceNat skipKernelTC debug
    """
)


class LeanVerifier:
    name = "proof-lean"
    title = "Lean 4 proof (Kimina server)"
    help = "Puts the model's tactics under the problem's statement and has the operator's Lean server check them."
    requires = ("statement",)
    isolated = False

    def essence(self, text: str) -> str:
        return tactics(text)

    def grade(self, text: str, gold: Gold, bench: Bench) -> Verdict:
        statement, theorem = needed(gold, "statement"), needed(gold, "theorem")
        if not bench.settings.lean_url:
            raise Unfit("No Lean server is set up: the operator sets CANOPY_LEAN_URL.")
        block = tactics(text)
        if problem := not_tactics(block):
            return Verdict("wrong", reason=f"Rejected: {problem}.")
        code = f"{statement_only(statement)} by\n{textwrap.indent(block, '  ')}\n\n"
        code += f"#print axioms {theorem}\n"
        seconds = max(_SECONDS, bench.settings.seconds)
        headers = {"Authorization": f"Bearer {bench.settings.lean_key}"} if bench.settings.lean_key else {}
        request = {
            "codes": [{"custom_id": "1", "proof": code}],
            "timeout": round(seconds),
        }
        try:
            answer = post_json(f"{bench.settings.lean_url.rstrip('/')}/verify", request, seconds + 30, headers)
        except PostTimeout as error:
            return Verdict("timeout", reason=str(error))
        except PostError as error:
            return Verdict("error", reason=f"The Lean server: {error}")
        return judge(answer, theorem)


def judge(answer: Any, theorem: str) -> Verdict:
    """The server's answer as a verdict."""
    try:
        (result,) = answer["results"]
        response = result.get("response") or {}
        error = result.get("error") or response.get("message")  # the second is the REPL's own
        messages = response.get("messages") or []
        texts = [(str(message["severity"]), str(message["data"])) for message in messages]
        sorries = response.get("sorries")
    except (KeyError, TypeError, ValueError, AttributeError):
        return Verdict("error", reason="The Lean server answered in another form than the Kimina protocol's.")
    if error:
        timed_out = re.search(r"time[d ]*\s*-?out", str(error), re.IGNORECASE)
        return Verdict("timeout" if timed_out else "error", reason=f"The Lean server: {error}")
    for severity, data in texts:
        if severity == "error":
            return Verdict("wrong", reason=" ".join(data.split()))
    if sorries or any("'sorry'" in data or "`sorry`" in data for _, data in texts):
        return Verdict("wrong", reason="The proof uses sorry.")
    told = [data for _, data in texts if re.match(rf"'{re.escape(theorem)}' (depends|does not depend) on", data)]
    if len(told) != 1:
        return Verdict("error", reason="The Lean server did not say which axioms the proof uses.")
    if "does not depend on any axioms" in told[0]:
        return Verdict("correct", "proved")
    listed = re.search(r"depends on axioms:\s*\[([^\]]*)\]", told[0])
    if listed is None:
        return Verdict("error", reason=f"The Lean server's list of axioms cannot be read: {told[0]}")
    foreign = [name for name in re.split(r"[,\s]+", listed.group(1)) if name and name not in _ALLOWED_AXIOMS]
    return Verdict("wrong", reason=f"Assumes {', '.join(foreign)}.") if foreign else Verdict("correct", "proved")


def statement_only(statement: str) -> str:
    """Up to and with the last ``:=``; miniF2F's statements end in ``:= by`` or ``:= sorry``."""
    return re.sub(r":=\s*(by\s*)?(sorry|\()?\s*$", ":=", statement.rstrip()).rstrip()


def tactics(text: str) -> str:
    """The tactic block in a model's text: its first fenced block or all of it, after ``:= by`` where it repeats the
    statement."""
    block = fenced_block(text, ("lean", "lean4"))
    script = text if block is None else block
    if re.search(r"^\s*(theorem|lemma)\s", script, re.MULTILINE):
        script = re.split(r":=\s*by\b", script, maxsplit=1)[-1]
    return textwrap.dedent(script.strip("\n")).strip()


def not_tactics(block: str) -> str:
    """Why ``block`` is not accepted as tactics; empty when it is."""
    lines = (line.split("--")[0] for line in block.split("\n"))
    try:
        plain = without_comments("\n".join(lines), "/-", "-/")
    except ValueError as error:
        return str(error)
    if not plain.strip():
        return "there is no proof in the text"
    # Words may hide in strings or be part of dotted names: rejecting those too costs few proofs and no soundness.
    if word := first_word_among(block, _FORBIDDEN):
        return f"a proof may not contain {word}"
    if "#" in plain or "@[" in plain:
        return "a proof may contain neither commands with # nor attributes"
    if '"' in block:
        return "a proof may not contain quotation marks"
    if "«" in plain:
        return "a proof may not contain quoted names"
    return ""
