"""The tasks there are. Numbers without another source: Brown et al. 2024 (arXiv 2407.21787v3), appendices A and B.

Where the paper's or the released code's words are known they stand here; where they are not, the text is ours and its
comment says so. Adding a task: a ``Task`` in this tuple, and a converter in ``engine.tasks.convert``.
"""

from __future__ import annotations

from engine.tasks import convert, examples
from engine.tasks.task import Hub, Task

_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)

_ALL = (
    Task(
        name="gsm8k",
        title="GSM8K",
        help="As published: 10,000 samples at temperature 0.6. The paper draws five training examples for each "
        "problem; put yours in place of ours.",
        verifier="gsm8k",
        template="Question: {question}\nAnswer:",
        stop=("Q:", "Question:"),
        few_shot=examples.GSM8K,
        samples=10_000,
        temperature=0.6,
        max_tokens=512,
        convert=convert.gsm8k,
        hub=Hub("openai/gsm8k", "test", ("main",)),
    ),
    Task(
        name="math",
        title="MATH",
        help="As published: 10,000 samples at temperature 0.6. The paper shows Minerva's fixed examples; ours "
        "stand in their place. Graded in paper mode; math-verify can grade again.",
        verifier="math-minerva",
        template="Problem:\n{question}\n\nSolution:",
        stop=("Problem:",),
        few_shot=examples.MATH,
        samples=10_000,
        temperature=0.6,
        max_tokens=512,
        convert=convert.math,
        hub=Hub("EleutherAI/hendrycks_math", "test", _SUBJECTS),
    ),
    Task(
        name="minif2f-lean",
        title="MiniF2F in Lean 4",
        help="As published: 10,000 samples at temperature 0.5, 200 tokens. Needs a Lean server; unlike in "
        "the paper, theorem names stay as they are.",
        verifier="proof-lean",
        # The stop string gives the first words away; the rest of the sentence is ours. The model writes what stands
        # in the brackets of "by (", and the closing one, on a line of its own in the examples, ends it.
        template="Write a lean4 proof of this statement:\n{question} by (\n",
        stop=("Write a lean4", "\n)"),
        few_shot=examples.LEAN,
        samples=10_000,
        temperature=0.5,
        max_tokens=200,
        convert=convert.minif2f,
    ),
    Task(
        name="minif2f-rocq",
        title="MiniF2F in Rocq",
        help="The paper's settings for Lean on the Rocq statements: 10,000 samples at temperature 0.5, 200 tokens.",
        verifier="proof-rocq",
        # No paper used this; ours.
        template="{question}\nProof.\n",
        stop=("Qed.", "Admitted.", "Theorem", "Require"),
        few_shot=examples.ROCQ,
        samples=10_000,
        temperature=0.5,
        max_tokens=200,
        convert=convert.minif2f,
    ),
    Task(
        name="code-contests",
        title="CodeContests",
        help="As published: 10,000 samples at temperature 0.6, top-p 0.95, Python 3, all tests. The paper draws two "
        "training examples for each problem; put yours in place of ours.",
        verifier="code-stdio",
        # The paper: "Q: Write python code to solve ... wrap your code answer using" three backticks, the
        # description, "A:". The words between are ours.
        template="Q: Write python code to solve the following problem. It reads from standard input and writes to "
        "standard output. Please wrap your code answer using ```:\n{question}\nA:",
        stop=("Q:",),  # ours: the paper gives none for this task
        few_shot=examples.CODE_CONTESTS,
        samples=10_000,
        temperature=0.6,
        top_p=0.95,
        max_tokens=1024,
        convert=convert.code_contests,
        hub=Hub("deepmind/code_contests", "test"),
    ),
    Task(
        name="swe-bench-lite",
        title="SWE-bench Lite",
        help="250 samples at temperature 1.6, as published; but one answer each, not an agent's many turns, so expect "
        "less than the paper's 15.9%. The repositories must be on the workers.",
        verifier="patch",
        # The paper runs an agent (Moatless Tools); this single question is ours.
        template="Here is an issue of a software project:\n\n{question}\n\nWrite a patch that solves it, as a unified "
        "diff against the repository's root, between ```diff and ```.\n\n```diff\n",
        stop=("\n```",),
        samples=250,
        temperature=1.6,
        max_tokens=2048,
        convert=convert.swe_bench,
        hub=Hub("princeton-nlp/SWE-bench_Lite", "test"),
    ),
    Task(
        name="humaneval",
        title="HumanEval",
        help="Chen et al. 2021: 200 samples at temperature 0.8 and top-p 0.95, the function's head as the prompt.",
        verifier="code-function",
        # Chen et al. 2021 (arXiv 2107.03374), section 3: the prompt is the function's signature and docstring, and
        # these strings end it.
        template="{question}\n",
        stop=("\nclass", "\ndef", "\n#", "\nif", "\nprint"),
        samples=200,
        temperature=0.8,
        top_p=0.95,
        max_tokens=512,  # ours
        convert=convert.human_eval,
        hub=Hub("openai/openai_humaneval", "test"),
    ),
    Task(
        name="mbpp",
        title="MBPP",
        help="Austin et al. 2021: 80 samples at temperature 0.5, three examples, the tests shown to the model.",
        verifier="code-function",
        # Austin et al. 2021 (arXiv 2108.07732) mark the code by [BEGIN] and [DONE]; the sentence is ours.
        template="Write a Python function for this task, such that the tests below it pass.\n{question}\n[BEGIN]\n",
        stop=("[DONE]",),
        few_shot=examples.MBPP,
        samples=80,
        temperature=0.5,
        max_tokens=512,  # ours
        convert=convert.mbpp,
        hub=Hub("google-research-datasets/mbpp", "test", ("full",)),
    ),
)
TASKS = {task.name: task for task in _ALL}


def get_task(name: str) -> Task:
    """The task called ``name``; KeyError lists the names there are."""
    if name not in TASKS:
        raise KeyError(f"no task is called {name!r}; there are: {', '.join(TASKS)}")
    return TASKS[name]
