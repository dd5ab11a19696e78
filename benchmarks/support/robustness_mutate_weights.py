"""Damages to weights that fit their format: the header of a safetensors file, the graph of an ONNX file."""

import json
import struct
from random import Random


def safetensors_header(data: bytes, rng: Random) -> bytes:
    """Change what the header says of one array: its kind, shape or place; or drop it, rename it, add another."""
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    names = sorted(set(header) - {"__metadata__"})
    name, way = rng.choice(names), rng.randrange(8)
    entry = header[name]
    if way == 0:
        entry["dtype"] = rng.choice(("F16", "F64", "I8", "BOOL", "U64", "BF16", "X", "", None, "F8_E4M3"))
    elif way == 1:
        entry["shape"] = rng.choice(
            ([], [0], [-1], [2**40], [1] * 100, entry["shape"][::-1], [*entry["shape"], 1], None)
        )
    elif way == 2:
        entry["data_offsets"] = rng.choice(
            ([0, 0], [0, 2**40], [-1, 4], [8, 4], header[names[0]]["data_offsets"], [], None)
        )
    elif way == 3:
        del header[name]
    elif way == 4:
        header[rng.choice((f"{name}x", "", "../x", name.upper()))] = header.pop(name)
    elif way == 5:
        header["__metadata__"] = rng.choice((None, [], {"a": 1}, {"a": "b"}, "x"))
    elif way == 6:
        header[rng.choice(names)], header[name] = header[name], header[rng.choice(names)]
    else:
        del entry[rng.choice(sorted(entry))]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def safetensors_length(data: bytes, rng: Random) -> bytes:
    """Declare a header of another length."""
    return struct.pack("<Q", rng.choice((0, 1, 7, len(data), len(data) * 2, 2**31, 2**40, 2**63, 2**64 - 1))) + data[8:]


def safetensors_numbers(data: bytes, rng: Random) -> bytes:
    """Fill a run of the numbers with NaN, infinity or huge values."""
    begin = 8 + struct.unpack_from("<Q", data)[0]
    at = begin + 4 * rng.randrange(max(1, (len(data) - begin) // 4))
    value = struct.pack("<f", rng.choice((float("nan"), float("inf"), 3e38, -1.0)))
    count = min(rng.choice((1, 16, 1000)), (len(data) - at) // 4)
    return data[:at] + value * count + data[at + 4 * count :]


SAFETENSORS = {one.__name__: one for one in (safetensors_header, safetensors_length, safetensors_numbers)}


def onnx_graph(data: bytes, rng: Random) -> bytes:
    """Change a node, a tensor, an input or output, or the versions that an ONNX file declares."""
    import onnx

    model = onnx.load_from_string(data)
    graph, way = model.graph, rng.randrange(12)
    node = graph.node[rng.randrange(len(graph.node))]
    if way == 0:
        node.op_type = rng.choice(("Relu", "NoSuchOperator", "Loop", "If", "Reshape", "MatMul", ""))
    elif way == 1:
        del node.input[rng.randrange(len(node.input)) :]
    elif way == 2:
        node.input[0] = rng.choice(("nowhere", node.output[0], ""))
    elif way == 3:
        graph.initializer[0].dims[rng.randrange(4)] = rng.choice((0, -1, 1, 7, 2**40))
    elif way == 4:
        graph.initializer[0].data_type = rng.choice((0, 2, 7, 8, 10, 11, 99))
    elif way == 5:
        del graph.initializer[0]
    elif way == 6:
        model.opset_import[0].version = rng.choice((0, -1, 1, 6, 9999))
    elif way == 7:
        model.ir_version = rng.choice((0, 1, 99))
    elif way == 8:
        graph.output[0].name = rng.choice(("nowhere", "", "pixels"))
    elif way == 9:
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[rng.randrange(len(dims))].dim_value = rng.choice((1, 7, 2**31))
    elif way == 10:
        tensor = graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        place = rng.choice(("../../etc/passwd", "/dev/zero", "nowhere.bin", "/etc/passwd"))
        tensor.external_data.add(key="location", value=place)
        tensor.ClearField("raw_data")
    else:
        node.attribute.add(name="strides", type=onnx.AttributeProto.INTS, ints=[rng.choice((0, -1, 2**31))] * 2)
    return bytes(model.SerializeToString())


ONNX = {"onnx_graph": onnx_graph}
