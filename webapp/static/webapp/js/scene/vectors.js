// Vectors of three numbers as plain arrays.

export const add = (a, b) => a.map((value, i) => value + b[i]);
export const subtract = (a, b) => a.map((value, i) => value - b[i]);
export const scale = (a, factor) => a.map((value) => value * factor);
export const along = (a, b, factor) => a.map((value, i) => value + b[i] * factor);
export const mix = (a, b, share) => a.map((value, i) => value + (b[i] - value) * share);
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
export const length = (a) => Math.hypot(...a);
export const unit = (a) => scale(a, 1 / (length(a) || 1));
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
