"""The default: a tiny real Qwen2.5-VL (`model`) and phantom images of known truth (`phantoms`).

They let the whole engine run on a laptop. Phantoms are drawn by code; they are not medical images, and what a
model learns on them says nothing about patients.
"""
