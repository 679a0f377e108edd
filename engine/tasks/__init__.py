"""Tasks of the field: prompts, examples and settings as published, converters for their data, published curves."""

from engine.tasks.data import HubError, problems_of_file, problems_of_hub, problems_of_rows
from engine.tasks.published import PublishedCurve, published_curves
from engine.tasks.registry import TASKS, get_task
from engine.tasks.task import Example, Task

__all__ = [
    "TASKS",
    "Example",
    "HubError",
    "PublishedCurve",
    "Task",
    "get_task",
    "problems_of_file",
    "problems_of_hub",
    "problems_of_rows",
    "published_curves",
]
