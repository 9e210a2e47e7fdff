"""Rows a second and peak memory of writing and reading a large table in every format.

    python tests/benchmarks/table_reading.py --rows 1000000

Every format is read in a process of its own, so that its peak memory is its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nlp_suite.data.table_reading import open_table
from nlp_suite.data.table_writing import open_table_writer

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".csv.zst", ".jsonl", ".parquet")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--read", type=Path)
    arguments = parser.parse_args()
    if arguments.read:
        start, count = time.perf_counter(), sum(1 for _ in open_table(arguments.read).rows())
        rate = count / (time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"read {rate:,.0f} rows/s, peak {peak:,.0f} MiB")
        return
    with tempfile.TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            path, start = Path(folder, "table" + suffix), time.perf_counter()
            with open_table_writer(path, ["id", "text", "label"]) as table:
                for row in range(arguments.rows):
                    text = f'row {row} says "well", it is\ta text of some length, and so on ' * 2
                    table.write([row, text, row % 5])
            rate = arguments.rows / (time.perf_counter() - start)
            print(f"{suffix}: {path.stat().st_size / 2**20:,.0f} MiB, written {rate:,.0f} rows/s, ", end="", flush=True)
            subprocess.run([sys.executable, __file__, "--read", path], check=True)
            path.unlink()


if __name__ == "__main__":
    main()
