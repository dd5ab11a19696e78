"""ONNX Runtime: where its networks compute, and what it raises, which has no base class of its own."""

from typing import Any

from histoscribe.errors import ConfigError, listing

_GPU, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def open_session(model: str | bytes, *, device: str, where: str, threads: int = 0) -> Any:
    """Open a network; what ONNX Runtime raises passes through, see `runtime_errors`.

    Parameters
    ----------
    model
        Path of a file, or its content.
    device
        "cpu", "cuda" or "cuda:1"; "auto" for the graphics card where onnxruntime-gpu finds one, else the processor.
    where
        What is opened, for messages.
    threads
        Of one run of the network on the processor; 0 for all cores.

    Raises
    ------
    ConfigError
        Where there is no such device here.
    """
    import onnxruntime

    there = onnxruntime.get_available_providers()
    name, _, number = device.partition(":")
    if name not in ("auto", "cpu", "cuda") or (name == "cuda" and _GPU not in there):
        raise ConfigError(
            f"ONNX Runtime has no device {device!r} here",
            where=where,
            found=listing(there),
            fix="use auto or cpu; for cuda, install onnxruntime-gpu in place of onnxruntime",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised; it need not be printed as well
    options.use_deterministic_compute = True
    providers: list[Any] = [_CPU]
    if name != "cpu" and _GPU in there:
        # the default search times the algorithms, and another one may win tomorrow, with other last digits
        providers.insert(0, (_GPU, {"device_id": int(number or 0), "cudnn_conv_algo_search": "HEURISTIC"}))
    session = onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)
    if name == "cuda" and device_of(session) != "cuda":
        raise ConfigError(
            "ONNX Runtime could not use the graphics card",
            where=where,
            found=listing(session.get_providers()),
            fix="install the CUDA and cuDNN that this onnxruntime-gpu needs, or use --device cpu",
        )
    return session


def device_of(session: Any) -> str:
    """Where an open network computes: "cuda" or "cpu"."""
    return "cuda" if session.get_providers()[0] == _GPU else "cpu"


def runtime_errors() -> tuple[type[Exception], ...]:
    """All kinds of errors of ONNX Runtime, for an `except`."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*kinds, RuntimeError, ValueError, TypeError)


def first_line(error: Exception) -> str:
    """Of its message what a user can read."""
    return str(error).strip().partition("\n")[0][:300]
