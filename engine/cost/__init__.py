"""What coverage costs, in FLOPs, dollars and seconds. docs/coverage.md says what each number means."""

from engine.cost.costs import Cost, Unit, flops_cost, gpu_cost, seconds_cost, token_cost
from engine.cost.curve import (
    CostCurve,
    FrontierPoint,
    SmallAgainstBig,
    cost_curve,
    frontier,
    small_against_big,
)
from engine.cost.examples import TABLE_1, Attempts, relative_dollars
from engine.cost.experiment import Estimate, Fit, estimate, fit
from engine.cost.flops import (
    LLAMA_3_8B,
    LLAMA_3_70B,
    ModelSize,
    PromptCharge,
    decode_flops,
    flops_per_token,
    prompt_flops,
    total_flops,
)
from engine.cost.prices import (
    GpuPrice,
    PriceError,
    Prices,
    TokenPrice,
    gpu_dollars,
    lay_over,
    load_prices,
    token_dollars,
)

__all__ = [
    "LLAMA_3_8B",
    "LLAMA_3_70B",
    "TABLE_1",
    "Attempts",
    "Cost",
    "CostCurve",
    "Estimate",
    "Fit",
    "FrontierPoint",
    "GpuPrice",
    "ModelSize",
    "PriceError",
    "Prices",
    "PromptCharge",
    "SmallAgainstBig",
    "TokenPrice",
    "Unit",
    "cost_curve",
    "decode_flops",
    "estimate",
    "fit",
    "flops_cost",
    "flops_per_token",
    "frontier",
    "gpu_cost",
    "gpu_dollars",
    "lay_over",
    "load_prices",
    "prompt_flops",
    "relative_dollars",
    "seconds_cost",
    "small_against_big",
    "token_cost",
    "token_dollars",
    "total_flops",
]
