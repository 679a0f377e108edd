"""Many questions about one long document on a GPU: python -m benchmarks.long_document

A document of 20,000 tokens is computed once; each question is a prompt of its own below it, with one short answer.
"""

from __future__ import annotations

from benchmarks._gpu import prompt_tokens, random_model, run_call, step_floor
from benchmarks._machine import free_memory, measure_machine
from benchmarks._report import Row, write_report
from engine.sampling import Engine, Request, SamplingParams

SHAPE, DOCUMENT, QUESTION, NEW = "Llama-3-8B", 20_000, 64, 64
QUESTIONS = (16, 32, 64, 128, 256, 512, 1024)
APART = (4, 8)  # questions of the comparison that computes and reads the document for each
NOTES = (
    f"{SHAPE} shape with random bf16 weights; a document of {DOCUMENT:,} tokens, computed before; questions of "
    f"{QUESTION} tokens with one answer of {NEW} tokens each, all at once. Seconds of the whole call, questions' "
    "prompts included. floor: answers' steps at their floor and the questions' products at the matrix rate. "
    "'apart': the document computed and held for each question, where it fits in the time of this benchmark."
)


def main() -> None:
    machine = measure_machine()
    model = random_model(SHAPE)
    engine = Engine(model, max_batch=1024)
    vocabulary = model.shape.vocabulary
    document = prompt_tokens(DOCUMENT, 0, vocabulary)
    params = SamplingParams(temperature=1.0, max_tokens=NEW)
    rows = []

    def ask(count: int, new: int = NEW) -> float:
        requests = [Request(q, prompt_tokens(QUESTION, 1 + q, vocabulary), (0,)) for q in range(count)]
        return run_call(engine, document, requests, SamplingParams(temperature=1.0, max_tokens=new)).seconds

    for count in QUESTIONS:
        ask(count, 3)  # document, graphs
        seconds = ask(count)
        step = step_floor(
            model.shape,
            machine,
            rows=count,
            node_tokens=DOCUMENT + count * QUESTION,
            path_tokens=count * (DOCUMENT + QUESTION),
            suffix=NEW / 2,
        )
        floor = NEW * step + 2 * model.shape.n_params * count * QUESTION / machine.matrix_rate
        rows.append(Row(f"{count} questions", "whole call", "s", seconds, floor))
        print(rows[-1], flush=True)
        write_report(
            "long-document", "Questions about a long document on one GPU", rows, packages=["torch"], notes=NOTES
        )
    for count in APART:
        requests = [Request(q, (*document, *prompt_tokens(QUESTION, 1 + q, vocabulary)), (0,)) for q in range(count)]
        rows.append(Row(f"{count} questions", "apart", "s", run_call(engine, (), requests, params).seconds))
        print(rows[-1], flush=True)
    write_report("long-document", "Questions about a long document on one GPU", rows, packages=["torch"], notes=NOTES)
    free_memory()


if __name__ == "__main__":
    main()
