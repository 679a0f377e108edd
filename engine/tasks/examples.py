"""Solved examples that stand before a problem. All were written for Canopy, in the form each task's verifier reads.

The papers' own examples are not ours to ship: Brown et al. 2024 draw GSM8K's five and CodeContests' two at random
from the training set for every problem, and take fixed ones for MATH (Minerva's) and MiniF2F (five Lean proofs). Put
those in their place on the form to reproduce the paper exactly.
"""

from __future__ import annotations

from engine.tasks.task import Example

# One equation a line, then "#### " and the number, as GSM8K ends. Terse examples keep small models in form.
ARITHMETIC = (
    Example("Ella has 5 pencils and finds 8 more. How many pencils does she have?", "5 + 8 = 13\n#### 13"),
    Example("What is 6 times 9, minus 10?", "6 * 9 = 54\n54 - 10 = 44\n#### 44"),
    Example(
        "A shop sells 4 cakes at 7 dollars each and gives 3 dollars back. How many dollars does it keep?",
        "4 * 7 = 28\n28 - 3 = 25\n#### 25",
    ),
    Example(
        "Hugo has 30 nuts. He eats 6 and shares the rest equally among 4 friends. How many nuts does each friend get?",
        "30 - 6 = 24\n24 / 4 = 6\n#### 6",
    ),
)
GSM8K = (
    *ARITHMETIC,
    Example(
        "A train covers 90 kilometres in an hour and a half. How many kilometres does it cover in 4 hours?",
        "90 / 1.5 = 60\n60 * 4 = 240\n#### 240",
    ),
)
# Each ends in the sentence that Minerva's grading looks for; the box serves math-verify.
MATH = (
    Example(
        "What is the sum of the roots of $x^2 - 7x + 10 = 0$?",
        "The roots of $x^2 + bx + c$ sum to $-b$, and here $b = -7$. So the sum is $\\boxed{7}$.\n"
        "Final Answer: The final answer is $7$. I hope it is correct.",
    ),
    Example(
        "Two fair coins are tossed. What is the probability that both show heads?",
        "Each shows heads with probability $\\frac12$, and they do not influence each other, so it is "
        "$\\frac12 \\cdot \\frac12 = \\boxed{\\frac{1}{4}}$.\n"
        "Final Answer: The final answer is $\\frac{1}{4}$. I hope it is correct.",
    ),
    Example(
        "Simplify $\\sqrt{50} - \\sqrt{8}$.",
        "$\\sqrt{50} = 5\\sqrt2$ and $\\sqrt8 = 2\\sqrt2$, so the difference is $\\boxed{3\\sqrt{2}}$.\n"
        "Final Answer: The final answer is $3\\sqrt{2}$. I hope it is correct.",
    ),
    Example(
        "How many positive divisors does $12$ have?",
        "$12 = 2^2 \\cdot 3$, so there are $(2 + 1)(1 + 1) = \\boxed{6}$ divisors.\n"
        "Final Answer: The final answer is $6$. I hope it is correct.",
    ),
)
CODE_CONTESTS = (
    Example(
        "Sum of two\n\nThe only line holds two integers a and b. Print their sum.\n\nInput\n3 4\n\nOutput\n7",
        "```\na, b = map(int, input().split())\nprint(a + b)\n```",
    ),
    Example(
        "Longest run\n\nThe first line holds n, the second a string of n letters. Print the length of the longest run "
        "of equal letters.\n\nInput\n6\naabbba\n\nOutput\n3",
        "```\ninput()\ntext = input().strip()\nbest = run = 1\nfor before, here in zip(text, text[1:]):\n"
        "    run = run + 1 if before == here else 1\n    best = max(best, run)\nprint(best)\n```",
    ),
)
MBPP = (
    Example(
        "Write a function to double a number.\n\nassert double(4) == 8\nassert double(0) == 0",
        "def double(number):\n    return 2 * number\n[DONE]",
    ),
    Example(
        "Write a function to count the vowels of a word.\n\nassert vowels('tree') == 2\nassert vowels('sky') == 0",
        "def vowels(word):\n    return sum(letter in 'aeiou' for letter in word)\n[DONE]",
    ),
    Example(
        "Write a function to find the largest item of a list, or None.\n\nassert largest([1, 5, 3]) == 5\n"
        "assert largest([]) is None",
        "def largest(items):\n    return max(items, default=None)\n[DONE]",
    ),
)
LEAN = (
    Example("theorem theorem_1 : (2 : ℝ) + 2 = 4 :=", "  norm_num\n)"),
    Example("theorem theorem_2 (x : ℝ) (h : 2 * x = 6) : x = 3 :=", "  linarith\n)"),
    Example("theorem theorem_3 (a b : ℝ) : (a + b)^2 = a^2 + 2 * a * b + b^2 :=", "  ring\n)"),
    Example("theorem theorem_4 (x y : ℝ) (h₀ : x + y = 10) (h₁ : x - y = 2) : x = 6 :=", "  linarith\n)"),
    Example("theorem theorem_5 : 17 % 5 = 2 :=", "  norm_num\n)"),
)
# Each checked with Coq 8.16.1.
ROCQ = (
    Example(
        "Require Import Reals.\nRequire Import Lra.\nOpen Scope R_scope.\n\n"
        "Theorem theorem_1 : forall x : R, 2 * x = 6 -> x = 3.",
        "intros x H. lra.\nQed.",
    ),
    Example(
        "Require Import Arith.\nRequire Import Lia.\n\nTheorem theorem_2 : forall a b : nat, a + b = b + a.",
        "intros a b. lia.\nQed.",
    ),
    Example(
        "Require Import Reals.\nOpen Scope R_scope.\n\n"
        "Theorem theorem_3 : forall a b : R, (a + b) * (a + b) = a * a + 2 * a * b + b * b.",
        "intros a b. ring.\nQed.",
    ),
    Example("Require Import Arith.\n\nTheorem theorem_4 : 17 mod 5 = 2.", "reflexivity.\nQed."),
    Example(
        "Require Import Reals.\nRequire Import Lra.\nOpen Scope R_scope.\n\n"
        "Theorem theorem_5 : forall x y : R, x + y = 10 -> x - y = 2 -> x = 6.",
        "intros x y H1 H2. lra.\nQed.",
    ),
)
