"""Throughput, cost per row, memory: `python -m benchmarks` measures them on whatever machine it runs on.

Every figure is one whole process, measured from outside, beside the script a user would have written instead, on the
same table, the same server and the same minute. What counts is the ratio: machines differ and are noisy.
"""
