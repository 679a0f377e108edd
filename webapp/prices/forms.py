"""The form for one price. Its checks are PriceRow's, as for the API."""

from __future__ import annotations

from typing import Any

from django import forms
from pydantic import ValidationError

from webapp.prices.models import Price, PriceKind
from webapp.prices.table import PriceRow, sentences

_TOKENS = ("input", "output", "cached")


def _written(value: Any) -> Any:
    """As a person would have written it: 3 and not 3.0."""
    return f"{value:.12g}" if isinstance(value, float) else value


class PriceForm(forms.Form):
    name = forms.CharField(max_length=120)
    input = forms.FloatField(label="A million tokens read", min_value=0)
    output = forms.FloatField(label="A million tokens written", min_value=0)
    cached = forms.FloatField(
        label="A million cached tokens",
        min_value=0,
        required=False,
        help_text="Tokens read that the service still had from an earlier request.",
    )
    per_hour = forms.FloatField(label="An hour of one GPU", min_value=0)
    currency = forms.CharField(max_length=3, initial="USD", help_text="Three letters, such as USD or EUR.")
    dollars = forms.FloatField(
        label="US$ for one unit", min_value=0, initial=1, help_text="1 for US$. Every figure of Canopy is in US$."
    )
    as_of = forms.DateField(
        label="As of", widget=forms.DateInput(attrs={"type": "date"}), help_text="When the source showed it."
    )
    source = forms.CharField(max_length=200, help_text="Who shows it: a page, a contract, a bill.")

    def __init__(self, kind: str, data: Any = None, *, price: Price | None = None) -> None:
        initial = {name: _written(getattr(price, name)) for name in PriceRow.model_fields} if price else None
        super().__init__(data, initial=initial, auto_id="price_%s")
        self.kind = kind
        self.row: PriceRow | None = None
        is_gpu = kind == PriceKind.GPU
        for name in _TOKENS if is_gpu else ("per_hour",):
            del self.fields[name]
        self.fields["name"].label = "GPU" if is_gpu else "Model"
        self.fields["name"].help_text = (
            "Such as H100 SXM 80GB: a GPU fits when this model and memory are in its name. CPU is a worker without one."
            if is_gpu
            else "As experiments write it, or its last part: gpt-4o-mini also stands for openai:gpt-4o-mini@lab."
        )
        for field in self.fields.values():
            if isinstance(field, forms.FloatField):
                field.widget.attrs |= {"step": "any", "inputmode": "decimal"}

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if self.errors:
            return values
        try:
            self.row = PriceRow.model_validate(values | {"kind": self.kind, "currency": values["currency"].upper()})
        except ValidationError as invalid:
            for name, text in sentences(invalid.errors(include_url=False)).items():
                self.add_error(name if name in self.fields else None, text)
        return values
