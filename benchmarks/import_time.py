"""`import histoscribe` in a fresh interpreter, beside an empty one: under 0.5 s, and no torch."""

import statistics
import subprocess
import sys
import time

RUNS = 11


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import histoscribe, sys; print(sum(m in sys.modules for m in ('torch', 'pandas', 'numpy')))",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    pairs = [(seconds("import histoscribe"), seconds("pass")) for _ in range(RUNS)]
    print(f"heavy_modules_loaded {loaded.stdout.strip()} modules")
    print(f"empty_interpreter {statistics.median(empty for _, empty in pairs):.3f} s")
    print(f"process_with_import {statistics.median(full for full, _ in pairs):.3f} s")
    print(f"import_histoscribe {statistics.median(full - empty for full, empty in pairs):.3f} s")


if __name__ == "__main__":
    main()
