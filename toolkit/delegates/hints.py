"""What to change so that a delegate takes an operator, or computes it right."""

from __future__ import annotations

_BY_OPERATOR: dict[tuple[str, str], str] = {
    ("CONV_2D", "n_inputs"): "give the convolution a bias (zeros will do)",
    (
        "TRANSPOSE_CONV",
        "max_op_version",
    ): "keep bias and activation out of the transposed convolution, or make it polyphase",
    ("TRANSPOSE_CONV", "const"): "make weights and output shape constant: convert with static shapes",
    (
        "BATCH_MATMUL",
        "min_sdk",
    ): "ask for feature level 6, or write the product as a 1x1 convolution where one side is constant",
    ("BATCH_MATMUL", "no_batch_broadcast"): "expand the smaller operand so that both have the same batch dimensions",
    ("GATHER", "type_in"): "use int32 indices; for a flip, fold it into the neighbouring convolutions",
    ("REVERSE_V2", "min_sdk"): "fold the flip into the channel order of the neighbouring convolutions",
    ("SELECT_V2", "unmapped"): "replace the selection by multiplication with a 0/1 mask",
    ("GELU", "unmapped"): "decompose GELU into tanh, multiply and add",
    ("CUMSUM", "unmapped"): "compute the cumulative sum outside the graph, or as a product with a triangular matrix",
    ("BROADCAST_TO", "unmapped"): "let the consuming operator broadcast, or store the expanded constant",
    ("RESHAPE", "rank"): "keep signals at rank 4 ([N, 1, T, C]) so that no rank-5 reshape is needed",
    ("TRANSPOSE", "rank"): "keep signals at rank 4 ([N, 1, T, C])",
    ("EXPAND_DIMS", "reject"): "write it as a RESHAPE",
    ("STRIDED_SLICE", "option_eq"): "slice without removing the axis, then reshape",
}

_BY_KIND: dict[str, str] = {
    "unmapped": "rewrite with operators the delegate has",
    "no_parser": "rewrite with operators the delegate has",
    "custom": "replace the custom operator by built-in ones",
    "max_op_version": "convert without the feature that raised the operator's version",
    "min_sdk": "ask for a newer Android level, or rewrite with older operators",
    "min_sdk_if_option": "ask for a newer Android level, or do without the option",
    "type_in": "change the tensor's type (int8 or float32 activations, int32 indices; never int64 or int16)",
    "type_min_sdk": "ask for a newer Android level, or keep this operator in float32",
    "type_not": "change the tensor's type",
    "const_type": "make the operand a constant of the type asked for",
    "const": "make the operand constant: convert with static shapes",
    "rank": "keep signals at rank 4 ([N, 1, T, C]) and avoid reshapes to rank 5",
    "not_hybrid": "quantise the activations too, or keep the weights in float",
    "option_eq": "move the fused activation or option into an operator of its own",
    "same_type": "give both operands the same type",
    "int8_below_30": "ask for Android 11 (level 30) or newer",
    "types": "change the tensor's type (float32, or 8 bits with one scale; int32 indices; never int64 or int16)",
    "weights": "quantise the weights with one scale, or one for each output channel",
    "data_and_weights": "quantise data and weights alike, or keep both in float",
    "present": "give the convolution a bias (zeros will do)",
    "scale_ratio": "calibrate input and output to similar ranges, or keep this operator in float",
    "product_scale": "calibrate input and output to similar ranges, or keep this operator in float",
    "leaky_positive": "calibrate input and output to similar ranges, or keep this activation in float",
    "leaky_negative": "calibrate input and output to similar ranges, or keep this activation in float",
    "activation": "move the fused activation into an operator of its own",
    "all_ones": "slice with strides of 1, or keep every n-th value by another operator",
    "all_positive": "write the sizes out when converting: convert with static shapes",
    "vector": "convert with static shapes",
    "float_operands": "keep both operands in float32",
    "coreml_version_lt": "avoid the reshape: keep signals at rank 4 throughout",
    "axis_is_last": "concatenate along the channels",
    "left_packed": "make its readers acceptable, or store the constant in float32",
    "wrong_transpose_conv": "use VALID padding and a SLICE, or a polyphase convolution",
    "wrong_batch_matmul": "expand the smaller operand so that both have the same batch dimensions",
    "wrong_conv_2d": "pad explicitly and use VALID, or split the groups",
    "wrong_add": "reshape the smaller operand to the same rank",
    "wrong_sum": "keep the sum in float",
    "wrong_floor_mod": "keep the modulo in float",
    "runtime_const_outputs": "make the second operand a constant, or both operands computed",
    "reject": "rewrite the operator as the message asks",
    "limit": "rewrite the operator as the message asks",
}


def hint(kind_of_operator: str, kind_of_rule: str) -> str:
    """Advice for an operator and the kind of rule it broke; empty when there is none."""
    return _BY_OPERATOR.get((kind_of_operator, kind_of_rule)) or _BY_KIND.get(kind_of_rule, "")
