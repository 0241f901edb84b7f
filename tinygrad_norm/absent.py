"""Names that PyTorch has and this package has not, and what to use instead.

Each value is code, which ``tests/test_absent.py`` runs, and after a dash a remark; where nothing
stands in for the name, the remark alone. In the code x and y are tensors (N, C), v is a vector, m a
matrix (N, N), i whole numbers, p probabilities, a mask is ``x > 0``, images are (N, C, H, W).
"""

from __future__ import annotations

RECURRENT = "— there are no recurrent layers; write the loop over the steps with nn.Linear"
NO_3D = "— there are no volumes but in the norms; 1d and 2d are here"
NO_TRANSPOSED = "— there is no transposed convolution; enlarge the image, then nn.Conv2d"
NO_CTC = "— there is no loss for sequences without an alignment"
BITS = "x.long() — the dtypes are float16, float32, float64, int32, int64 and bool"
COMPLEX = "— there are no complex numbers; keep the real and the imaginary part beside each other"
EAGER = "tn.compile(lambda x: x.exp())(x) — which records a step once"
NO_INVERSE = "— there is no inverse trigonometry with a gradient"
SMALL = "nn.Dropout(0.5) — which drops single values, not whole channels"
PADS = "nn.functional.pad(image, (1, 1, 1, 1), mode={!r}) — in the model's forward"
ENLARGED = ("image[:, :, :, None, :, None].expand(2, 4, 6, 2, 6, 2).reshape(2, 4, 12, 12) "
            "— which is twice the size, to the nearest")
WHOLE = "image.amax((2, 3), keepdim=True) — which is output size 1"
ADAM = "optim.Adam([parameter], lr=1e-3)"
LAMBDA = "lr_scheduler.LambdaLR(optimizer, lambda epoch: {})"

FORMULAS = {
    "absolute": "x.abs()", "addcdiv": "x + 0.5 * y / 3", "addcmul": "x + 0.5 * x * y",
    "addmm": "m + m @ m", "argwhere":
    "tn.from_numpy(np.argwhere((x > 0).numpy()))", "baddbmm": "m[None] + m[None] @ m[None]",
    "bernoulli": "(tn.rand_like(p) < p).float()", "bincount":
    "(i == tn.arange(int(i.max()) + 1)[:, None]).sum(1)",
    "bitwise_and": "(x > 0) & (y > 0)", "bitwise_not": "~(x > 0)",
    "bitwise_or": "(x > 0) | (y > 0)", "bitwise_xor": "(x > 0) ^ (y > 0)", "ceil": "-(-x // 1)",
    "clamp_max": "x.clamp(max=1)", "clamp_min": "x.clamp(min=0)",
    "cosh": "(x.exp() + (-x).exp()) / 2", "count_nonzero": "(x != 0).sum()",
    "cumprod": "p.log().cumsum(1).exp() — where all are positive",
    "cummax": "tn.stack([x[:n + 1].amax(0) for n in range(len(x))])",
    "cummin": "tn.stack([x[:n + 1].amin(0) for n in range(len(x))])",
    "deg2rad": "x * (math.pi / 180)", "diag": "m[tn.arange(4), tn.arange(4)]",
    "diagonal": "m[tn.arange(4), tn.arange(4)]", "diff": "x[1:] - x[:-1]",
    "dist": "(x - y).square().sum().sqrt()", "divide": "x / y", "equal": "bool((x == y).all())",
    "erfc": "1 - x.erf()", "exp2": "2**x", "fix": "x.div(1, rounding_mode='trunc')",
    "fliplr": "x.flip(1)", "flipud": "x.flip(0)", "floor": "x // 1", "frac": "x.fmod(1)",
    "ger": "v[:, None] * v", "greater": "x > y", "greater_equal": "x >= y",
    "heaviside": "(x > 0).float()", "hypot": "(x * x + y * y).sqrt()",
    "index_select": "x[i]", "inner": "(v * v).sum()", "isclose":
    "(x - y).abs() <= 1e-8 + 1e-5 * y.abs()", "isinf": "x.abs() == math.inf",
    "isneginf": "x == -math.inf", "isposinf": "x == math.inf",
    "kron": "tn.einsum('ij,kl->ikjl', m, m).reshape(16, 16)", "lerp": "x + 0.5 * (y - x)",
    "less": "x < y", "less_equal": "x <= y", "log10": "x.log() / math.log(10)",
    "log2": "x.log() / math.log(2)", "logaddexp": "tn.stack([x, y]).logsumexp(0)",
    "logical_xor": "(x > 0) ^ (y > 0)", "logit": "(p / (1 - p)).log()",
    "masked_select": "x[x > 0]", "median": "v.gather(0, v.argsort(0))[(len(v) - 1) // 2]",
    "moveaxis": "x.permute(1, 0)", "movedim": "x.permute(1, 0)",
    "multinomial": "(p.log() - (-tn.rand_like(p).log()).log()).argmax(1) — one of each row",
    "multiply": "x * y", "mv": "m @ v", "nan_to_num": "tn.where(x.isnan(), 0.0, x)",
    "nanmean": "x[~x.isnan()].mean()", "nansum": "tn.where(x.isnan(), 0.0, x).sum()",
    "narrow": "x[:, 1:1 + 2]", "negative": "-x", "nonzero":
    "tn.from_numpy(np.argwhere((x > 0).numpy()))", "norm": "x.square().sum().sqrt()",
    "not_equal": "x != y", "outer": "v[:, None] * v", "positive": "+x",
    "quantile": "tn.tensor(np.quantile(x.detach().numpy(), 0.5))",
    "rad2deg": "x * (180 / math.pi)", "ravel": "x.reshape(-1)", "repeat_interleave":
    "x[:, None].expand(4, 2, 3).reshape(8, 3)", "roll": "tn.cat([x[-1:], x[:-1]])",
    "round": "(x + 0.5) // 1 — halves go up, in PyTorch to even", "select": "x[:, 0]",
    "sgn": "x.sign()", "sinh": "(x.exp() - (-x).exp()) / 2",
    "sort": "x.gather(1, x.argsort(1)), x.argsort(1)", "subtract": "x - y",
    "swapaxes": "x.transpose(0, 1)", "swapdims": "x.transpose(0, 1)",
    "take_along_dim": "x.gather(1, x.argsort(1))", "tan": "x.sin() / x.cos()",
    "tile": "tn.cat([x, x], 1)", "topk":
    "x.gather(1, x.argsort(1, descending=True)[:, :2]), x.argsort(1, descending=True)[:, :2]",
    "trace": "m[tn.arange(4), tn.arange(4)].sum()",
    "tril": "m * (tn.arange(4)[:, None] >= tn.arange(4))",
    "triu": "m * (tn.arange(4)[:, None] <= tn.arange(4))", "true_divide": "x / y",
    "trunc": "x.div(1, rounding_mode='trunc')", "unflatten": "v.reshape(2, 2)",
    "unique": "tn.tensor(sorted(set(i.tolist())))", "xlogy": "x * p.log()",
    **dict.fromkeys(("acos", "arccos", "arcsin", "arctan", "asin", "atan", "atan2"), NO_INVERSE),
}
"""Functions that are methods as well."""

TENSOR = {
    **FORMULAS,
    **{name + "_": f"x.copy_(x.{name}())" for name in (
        "abs", "cos", "erf", "exp", "expm1", "log", "log1p", "neg", "reciprocal", "relu", "rsqrt",
        "sigmoid", "sign", "sin", "sqrt", "square", "tanh")},
    **dict.fromkeys(("bfloat16", "byte", "char", "short"), BITS),
    "allclose": "tn.allclose(x, y)", "as_strided": "x.reshape(3, 4)",
    "bernoulli_": "x.copy_(tn.rand_like(x) < 0.5)",
    "cumsum_": "x.copy_(x.cumsum(1))", "data_ptr": "x.array.ctypes.data", "detach_": "x.detach()",
    "element_size": "x.dtype.itemsize", "exponential_": "x.copy_(-tn.rand_like(x).log())",
    "fill_diagonal_": "m.copy_(m.masked_fill(tn.eye(4).bool(), 0))",
    "floor_": "x.copy_(x // 1)", "get_device": "x.device.index",
    "index_add_": "x.copy_(x + tn.eye(4)[i].T @ y)", "index_copy_": "x[i] = y",
    "index_fill_": "x[i] = 0", "index_put_": "x[i] = y", "is_complex":
    "x.dtype.kind == 'c'", "is_cpu": "x.device.type == 'cpu'", "itemsize": "x.dtype.itemsize",
    "lerp_": "x.copy_(x + 0.5 * (y - x))", "masked_fill_": "x.copy_(x.masked_fill(x > 0, 0))",
    "masked_scatter_": "x[x > 0] = y[x > 0]", "nbytes": "x.array.nbytes",
    "ndimension": "x.dim()", "nelement": "x.numel()", "new_empty":
    "tn.empty(2, 3, dtype=x.dtype, device=x.device)", "new_full":
    "tn.full((2, 3), 1, dtype=x.dtype, device=x.device)", "new_ones":
    "tn.ones(2, 3, dtype=x.dtype, device=x.device)", "new_tensor":
    "tn.tensor([1, 2], dtype=x.dtype, device=x.device)", "new_zeros":
    "tn.zeros(2, 3, dtype=x.dtype, device=x.device)", "normal_": "nn.init.normal_(x)",
    "pin_memory": "x — it is copied to a GPU without", "pow_": "x.copy_(x**2)",
    "random_": "i.copy_(tn.randint_like(i, 0, 5))", "repeat": "tn.cat([tn.cat([x, x], 1)] * 2)",
    "retains_grad": "x.is_leaf",
    "scatter_": "x[i, i % 3] = 1.0", "scatter":
    "y = x.clone(); y[i, i % 3] = 1.0",
    "scatter_add_": "x.copy_(x + tn.eye(4)[i].T @ y)", "scatter_add": "x + tn.eye(4)[i].T @ y",
    "squeeze_": "x.squeeze()", "storage": "x.array", "stride":
    "tuple(n // x.dtype.itemsize for n in x.array.strides)", "t_": "x.t()", "take":
    "x.reshape(-1)[i]", "to_dense": "x", "type": "x.to(tn.float64)",
    "unfold": "nn.functional.unfold(image, 2)", "uniform_": "nn.init.uniform_(x)",
    "unsqueeze_": "x.unsqueeze(0)", "untyped_storage": "x.array",
}
"""Methods and properties of a tensor."""

TN = {
    **FORMULAS,
    **dict.fromkeys(("bfloat16", "int16", "int8", "short", "uint8", "uint16", "uint32"), BITS),
    **dict.fromkeys(("cfloat", "complex", "complex128", "complex64", "fft", "view_as_complex",
                     "view_as_real"), COMPLEX),
    **dict.fromkeys(("jit", "export", "fx"), EAGER),
    **{name: f"nn.functional.{name}" for name in (
        "adaptive_avg_pool1d", "avg_pool1d", "batch_norm", "binary_cross_entropy_with_logits",
        "conv1d", "conv2d", "dropout", "embedding", "group_norm", "instance_norm", "layer_norm",
        "max_pool1d", "max_pool2d", "rms_norm")},
    "amp": "model.half()", "asarray": "tn.as_tensor([1.0])", "atleast_1d": "x.reshape(-1)",
    "autocast": "model.half()", "backends": "tn.cuda.is_available()",
    "block_diag": "tn.einsum('ab,ij->aibj', tn.eye(2), m).reshape(8, 8)", "broadcast_shapes":
    "np.broadcast_shapes((4, 3), (3,))", "cdist": "(x[:, None] - y).square().sum(2).sqrt()",
    "clip": "x.clamp(0, 1)", "column_stack": "tn.cat([x, y], 1)", "concat": "tn.cat([x, y])",
    "concatenate": "tn.cat([x, y])", "cosine_similarity":
    "(nn.functional.normalize(x) * nn.functional.normalize(y)).sum(1)", "detach": "x.detach()",
    "distributed": "nn.SyncBatchNorm(4) — with a process_group of your own",
    "distributions": "tn.randn(3)", "dstack": "tn.stack([x, y], 2)", "dtype": "np.dtype",
    "e": "math.e", "finfo": "np.finfo(x.dtype)", "frombuffer":
    "tn.from_numpy(np.frombuffer(b'12345678', np.float32).copy())",
    "func": "autograd.functional.jacobian", "get_default_dtype": "tn.float32",
    "hstack": "tn.cat([x, y], 1)", "iinfo": "np.iinfo(i.dtype)", "index_add":
    "x + tn.eye(4)[i].T @ y", "inf": "math.inf", "inference_mode": "tn.no_grad()",
    "initial_seed": "tn.get_rng_state()", "is_floating_point": "x.is_floating_point()",
    "is_nonzero": "bool(x[0, 0])", "linalg": "np.linalg.norm(x.numpy())",
    "logspace": "10 ** tn.linspace(0, 2, 3)", "masked_fill": "x.masked_fill(x > 0, 0)",
    "meshgrid": "tn.broadcast_tensors(v[:, None], v)", "nan": "math.nan", "newaxis": "None",
    "normal": "tn.randn(3) * 2 + 1", "numel": "x.numel()", "pi": "math.pi",
    "promote_types": "np.result_type(x.dtype, y.dtype)", "range": "tn.arange(0, 3)",
    "relu_": "x.copy_(x.relu())", "result_type": "np.result_type(x.dtype, y.dtype)",
    "scalar_tensor": "tn.tensor(1.0)", "scatter": "x[i, i % 3] = 1.0", "searchsorted":
    "(v[:, None] < x.reshape(-1)).sum(0)", "seed": "tn.manual_seed(0)",
    "set_default_device": "model.to('cpu')", "set_default_dtype":
    "model.double() — the default stays float32", "set_default_tensor_type": "model.double()",
    "set_printoptions": "np.printoptions(precision=2) — around print(x.numpy())",
    "sparse": "— there are no sparse tensors", "special": "x.erf()",
    "std_mean": "(x.std(), x.mean())", "tensordot": "tn.einsum('ij,jk->ik', m, m)",
    "trapezoid": "((v[1:] + v[:-1]) / 2).sum()", "use_deterministic_algorithms":
    "tn.manual_seed(0) — on the cpu the same calls give the same bits",
    "utils": "tn.data — the loaders of torch.utils.data", "vmap": "m @ m[None] — a dimension ahead",
    "vstack": "tn.cat([x, y])", "zero_": "x.zero_()",
    "FloatTensor": "tn.tensor([1.0])", "LongTensor": "tn.tensor([1])", "Size": "tuple(x.shape)",
    "BoolTensor": "tn.tensor([True])", "DoubleTensor": "tn.tensor([1.0], dtype=tn.float64)",
    "IntTensor": "tn.tensor([1], dtype=tn.int32)",
}
"""Functions, dtypes and modules of the package itself."""

ACTIVATIONS = {
    "celu": "nn.functional.elu(x)", "glu": "x[:, :1] * x[:, 1:2].sigmoid()",
    "hardsigmoid": "(x / 6 + 0.5).clamp(0, 1)", "hardswish": "x * (x / 6 + 0.5).clamp(0, 1)",
    "hardtanh": "x.clamp(-1, 1)", "logsigmoid": "-nn.functional.softplus(-x)",
    "mish": "x * nn.functional.softplus(x).tanh()", "prelu":
    "tn.where(x > 0, x, parameter * x) — with nn.Parameter(tn.full((3,), 0.25)) in the model",
    "relu6": "x.clamp(0, 6)", "rrelu": "nn.functional.leaky_relu(x, 11 / 48)",
    "selu": "1.0507009873554805 * nn.functional.elu(x, 1.6732632423543772)",
    "softmin": "(-x).softmax(1)", "softsign": "x / (1 + x.abs())", "tanhshrink": "x - x.tanh()",
    "threshold": "tn.where(x > 0.5, x, 0.0)", "hardshrink": "tn.where(x.abs() > 0.5, x, 0.0)",
    "softshrink": "x.sign() * (x.abs() - 0.5).relu()",
}
LOSSES = {
    "cosine_embedding_loss":
    "(1 - (nn.functional.normalize(x) * nn.functional.normalize(y)).sum(1)).mean()",
    "ctc_loss": NO_CTC,
    "gaussian_nll_loss": "((p.log() + (x - y) ** 2 / p) / 2).mean()",
    "hinge_embedding_loss": "(1 - x).relu().mean()", "kl_div": "(p * (p.log() - x)).mean()",
    "margin_ranking_loss": "(y - x).relu().mean()",
    "multi_margin_loss": "(1 + x - x.gather(1, i[:, None] % 3)).relu().mean() - 1 / 3",
    "poisson_nll_loss": "(x.exp() - y * x).mean()",
    "soft_margin_loss": "nn.functional.softplus(-y * x).mean()", "triplet_margin_loss":
    "((x - y).square().sum(1).sqrt() - (x + y).square().sum(1).sqrt() + 1).relu().mean()",
}
SHAPES = {
    "adaptive_max_pool1d": "seq.amax(2, keepdim=True) — which is output size 1",
    "adaptive_max_pool2d": WHOLE, "interpolate": ENLARGED, "upsample": ENLARGED,
    "pixel_shuffle":
    "image.reshape(2, 1, 2, 2, 6, 6).permute(0, 1, 4, 2, 5, 3).reshape(2, 1, 12, 12)",
    **dict.fromkeys(("avg_pool3d", "conv3d", "max_pool3d", "adaptive_avg_pool3d"), NO_3D),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), NO_TRANSPOSED),
}
FUNCTIONAL = {
    **ACTIVATIONS, **LOSSES, **SHAPES,
    **dict.fromkeys(("dropout1d", "dropout2d", "dropout3d", "alpha_dropout"),
                    SMALL.replace("nn.Dropout(0.5)", "nn.functional.dropout(x, 0.5)")),
    "cosine_similarity": "(nn.functional.normalize(x) * nn.functional.normalize(y)).sum(1)",
    "bilinear": "tn.einsum('ni,oij,nj->no', x, tn.ones(2, 3, 3), y)",
    "embedding_bag": "nn.functional.embedding(i[None], x).mean(1)",
    "grid_sample": "— there is no sampling at places between pixels",
    "gumbel_softmax": "(x - (-tn.rand_like(x).log()).log()).softmax(1)",
    "multi_head_attention_forward": "nn.MultiheadAttention(4, 2)",
    "one_hot": "tn.eye(5, dtype=tn.int64)[i]", "pairwise_distance":
    "(x - y).square().sum(1).sqrt()", "relu_": "x.copy_(x.relu())",
}
"""Functions of ``nn.functional``."""

WORDS = {"celu": "CELU", "gaussian_nll_loss": "GaussianNLLLoss", "glu": "GLU", "kl_div":
         "KLDivLoss", "logsigmoid": "LogSigmoid", "poisson_nll_loss": "PoissonNLLLoss", "prelu":
         "PReLU", "relu6": "ReLU6", "rrelu": "RReLU", "selu": "SELU", "ctc_loss": "CTCLoss",
         "conv_transpose1d": "ConvTranspose1d", "conv_transpose2d": "ConvTranspose2d"}
"""Layers whose names are not those of their functions with capitals."""

NN = {
    **{WORDS.get(name) or name.title().replace("_", "").replace("3D", "3d")
       .replace("1D", "1d").replace("2D", "2d"): advice
       for name, advice in {**ACTIVATIONS, **LOSSES, **SHAPES}.items() if name != "interpolate"},
    **dict.fromkeys(("GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell"), RECURRENT),
    **dict.fromkeys(("Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout"), SMALL),
    **dict.fromkeys(("LazyConv3d", "ReflectionPad3d", "ZeroPad3d"), NO_3D),
    **dict.fromkeys(("CircularPad2d",), PADS.format("circular")),
    **dict.fromkeys(("ConstantPad1d", "ConstantPad2d", "ZeroPad1d", "ZeroPad2d"),
                    PADS.format("constant")),
    **dict.fromkeys(("ReflectionPad1d", "ReflectionPad2d"), PADS.format("reflect")),
    **dict.fromkeys(("ReplicationPad1d", "ReplicationPad2d"), PADS.format("replicate")),
    **dict.fromkeys(("UpsamplingNearest2d", "UpsamplingBilinear2d"), ENLARGED),
    "Bilinear": FUNCTIONAL["bilinear"], "CosineSimilarity": FUNCTIONAL["cosine_similarity"],
    "DataParallel": "nn.SyncBatchNorm(4) — with a process_group of your own",
    "EmbeddingBag": "nn.Embedding(5, 3)(i[None]).mean(1)", "Fold":
    "nn.functional.fold(tn.ones(1, 8, 4), 3, 2)", "PairwiseDistance":
    FUNCTIONAL["pairwise_distance"], "ParameterDict":
    "nn.ModuleDict({'a': model}) — or parameters as attributes",
    "ParameterList": "nn.ModuleList([model]) — or parameters as attributes",
    "Softmax2d": "image.softmax(1)", "Transformer":
    "nn.TransformerEncoderLayer(4, 2)", "TransformerDecoder": "nn.MultiheadAttention(4, 2)",
    "TransformerDecoderLayer": "nn.MultiheadAttention(4, 2)", "TransformerEncoder":
    "nn.Sequential(nn.TransformerEncoderLayer(4, 2), nn.TransformerEncoderLayer(4, 2))",
    "Unfold": "nn.functional.unfold(image, 2)", "parallel":
    "nn.SyncBatchNorm(4) — with a process_group of your own", "parameter": "nn.Parameter(x)",
    "modules": "nn.Module",
}
"""Layers and losses."""

OPTIM = {
    **dict.fromkeys(("ASGD", "Rprop"), "optim.SGD([parameter], lr=0.1, momentum=0.9)"),
    **dict.fromkeys(("Adadelta", "Adagrad", "Adamax", "Adafactor", "Muon", "NAdam", "RAdam",
                     "SparseAdam"), ADAM),
    "LBFGS": ADAM + " — whose steps need one gradient each",
    "RMSprop": "optim.Adam([parameter], lr=1e-3, betas=(0, 0.99)) — which also corrects the first "
               "steps",
    "swa_utils": "nn.utils.recalibrate(model, [x]) — after averaging the state dicts",
}
SCHEDULES = {
    "ChainedScheduler": LAMBDA.format("0.9**epoch * 0.5 ** (epoch // 10)"),
    "ConstantLR": LAMBDA.format("1 / 3 if epoch < 5 else 1"),
    "CosineAnnealingWarmRestarts":
    LAMBDA.format("(1 + math.cos(math.pi * (epoch % 10) / 10)) / 2"),
    "CyclicLR": "lr_scheduler.OneCycleLR(optimizer, 0.1, 100)",
    "LinearLR": LAMBDA.format("min(1, (1 + 2 * epoch / 5) / 3)"),
    "MultiplicativeLR": LAMBDA.format("0.9**epoch"),
    "PolynomialLR": LAMBDA.format("max(0, 1 - epoch / 5)"),
    "SequentialLR": LAMBDA.format("(epoch + 1) / 5 if epoch < 5 else 0.9 ** (epoch - 5)"),
}
INIT = {
    **{name: f"nn.init.{name}_(x)" for name in (
        "kaiming_normal", "kaiming_uniform", "normal", "orthogonal", "uniform", "xavier_normal",
        "xavier_uniform")},
    "constant": "nn.init.constant_(x, 1)", "eye": "nn.init.eye_(x)",
}

TABLES = {"": TN, "nn": NN, "nn.functional": FUNCTIONAL, "nn.init": INIT, "optim": OPTIM,
          "optim.lr_scheduler": SCHEDULES, "Tensor": TENSOR}
"""By the module without the package's name."""
