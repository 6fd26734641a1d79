"""What is compared with what, and the ratio that is aimed at."""

from dataclasses import dataclass, replace

from .cases import Case


@dataclass(frozen=True)
class Job:
    """Our time for a case against that of another: a peer, the floor of the machine, or ourselves on another case.

    The ratio is the other's time for an entry of the matrix over ours. ``environment`` is where the peer is installed,
    from the requirements in the file of that name; none for our own. ``threads``: ours and the other's. ``ways``: those
    of ours that are timed.
    """

    table: str
    name: str
    case: Case
    other: str
    target: float | None = None
    other_case: Case | None = None
    environment: str | None = None
    threads: tuple[int, int] = (2, 2)
    repeats: int = 5
    ways: tuple[str, ...] = ("K(x)", "assemble", "assemble, out=")

    @property
    def against(self) -> Case:
        """The case of the other."""
        return self.other_case or self.case

    def quick(self) -> "Job":
        """The same with few inputs and narrow layers, to see that it runs."""

        def small(case: Case) -> Case:
            outputs = min(case.outputs, 3)
            widths, image = tuple(min(w, 16) for w in case.widths), tuple(min(size, 4) for size in case.image)
            return replace(case, n=min(case.n, 30), widths=widths, outputs=outputs, image=image)

        return replace(self, case=small(self.case), other_case=small(self.against), repeats=2)


RELU = Case(3000, 64, (1,) * 3)
TANH = Case(2000, 64, (1,) * 3, activation="tanh", weight_std=1.5, bias_std=0.1)
NARROW = Case(256, 64, (256, 256), 10, parameterization="standard", dtype="float32")
WIDE = replace(NARROW, features=784, widths=(1024, 1024, 1024))
IMAGES = Case(8, 3, (1,) * 4, image=(32, 32))
CNN = Case(32, 3, (64,) * 4, 10, parameterization="standard", dtype="float32", image=(32, 32))
SUGGESTED = 25
"""The degree of quadrature that the documentation of neural-tangents starts from."""


def _infinite() -> list[Job]:
    table, nt = "Infinite width", "neural_tangents"
    jobs = []
    for depth, targets in ((3, (5.0, 1.5)), (20, (30.0, 8.0))):
        case = replace(RELU, widths=(1,) * depth)
        for compiled, target in zip((True, False), targets, strict=True):
            name = f"ReLU, no bias, depth {depth}{'' if compiled else ', without Numba'}"
            jobs.append(Job(table, name, replace(case, compiled=compiled), nt, target, environment=nt))
    jobs += [
        Job(table, "ReLU, biases, depth 3", replace(RELU, bias_std=0.1, dtype=dtype), nt, 3.0, environment=nt)
        for dtype in ("float32", "float64")
    ]
    for equal, target, degree in ((True, 20.0, 250), (False, 3.0, 320)):
        case = replace(TANH, equal_norms=equal, degree=degree)
        ways = ("K(x)", "assemble") if equal else ("assemble",)  # the other takes long
        norms = "equal" if equal else "unequal"
        jobs += [
            Job(table, f"tanh, {norms} norms, depth 3, peer of degree {d}", case, nt, goal, peer, nt, (2, 2), 3, ways)
            for d, goal, peer in (
                (degree, target, replace(case, n=40)),
                (SUGGESTED, None, replace(case, n=200, degree=SUGGESTED)),
            )
        ]
    jobs.append(Job(table, "ReLU, no bias, depth 3", RELU, "scikit_ntk", environment="scikit_ntk"))
    return jobs


def _empirical() -> list[Job]:
    jobs, table = [], "Empirical, full kernel"
    for net, target in ((NARROW, 4.0), (WIDE, 2.5)):
        for bias in (0.0, 0.1):
            for n in (256, 1000):
                case = replace(net, n=n, bias_std=bias)
                repeats = 3 if n > 500 else 9
                jobs.append(Job(table, title(case), case, "vivit", target, environment="vivit", repeats=repeats))
    case = replace(WIDE, n=64, widths=(512, 512), parameterization="ntk")
    jobs.append(
        Job(table, title(case), case, "neural_tangents", 2.0, environment="neural_tangents_empirical", repeats=15)
    )
    for peer, n in (("nngeometry", 256), ("torch_func", 64)):
        case = replace(NARROW, n=n)
        jobs.append(Job(table, title(case), case, peer, environment=peer))
    return jobs


def _images() -> list[Job]:
    """Convolutional kernels of few images, and of more where only equal positions meet; a finite network.

    Where every pair of positions meets a peer takes minutes. It is given few images, and times are compared per entry:
    its own do not depend on their number.
    """
    table, nt, ways, jobs = "Images", "neural_tangents", ("K(x)", "assemble"), []
    for readout, n, few, targets in (("average", 32, 8, (100.0, 15.0)), ("flatten", 200, 200, (3.0, 3.0))):
        for dtype, target in zip(("float32", "float64"), targets, strict=True):
            case = replace(IMAGES, n=n, readout=readout, dtype=dtype)
            against = replace(case, n=few)
            name = f"convolutional kernel, {readout}"
            jobs += [
                Job(table, name, case, nt, target, against, environment=nt, repeats=3, ways=ways),
                Job("Floor of the machine", name, case, "floor", 1 / 12 if few < n else None, repeats=3, ways=ways),
            ]
    name = f"empirical NTK of a CNN, {len(CNN.widths)} convolutions of {CNN.widths[0]}"
    peers = (("torch_func", "torch_func"), ("neural_tangents", "neural_tangents_empirical"))
    return jobs + [Job(table, name, CNN, peer, 3.0, environment=where, repeats=3, ways=ways) for peer, where in peers]


def _floor() -> list[Job]:
    table = "Floor of the machine"
    jobs = [
        Job(table, title(case), case, "floor", 0.7, ways=("K(x)", "assemble"))
        for net in (NARROW, WIDE)
        for bias in (0.0, 0.1)
        for case in (replace(net, n=n, bias_std=bias) for n in (256, 1000))
    ]
    return [*jobs, Job(table, "infinite ReLU, no bias, depth 3", RELU, "floor", ways=("K(x)", "assemble"))]


def _scaling() -> list[Job]:
    table, jobs = "Scaling", []
    biased = replace(RELU, bias_std=0.1)
    for name, case in (("infinite ReLU, no bias", RELU), ("infinite ReLU, biases", biased)):
        few = replace(case, n=1000)
        for n in (2000, 4000, 8000, 16000):
            many = replace(case, n=n)
            jobs.append(Job(table, f"{name}: N = {n} against 1000", many, "ours", 0.9, few, repeats=3))
        both = replace(case, n=4000)
        jobs.append(Job(table, f"{name}: 2 threads against 1", both, "ours", 1.8, both, threads=(2, 1)))
    shallow = replace(RELU, n=2000, widths=(1,))
    for depth in (2, 5, 10, 20, 50):
        deep = replace(shallow, widths=(1,) * depth)
        jobs.append(Job(table, f"infinite ReLU, no bias: depth {depth} against 1", deep, "ours", 0.9, shallow))
    few = replace(NARROW, n=128)
    for n in (256, 500, 1000):
        many = replace(NARROW, n=n)
        jobs.append(Job(table, f"empirical {shape(NARROW)}: N = {n} against 128", many, "ours", 0.9, few))
    jobs += [
        Job(table, f"empirical {shape(net)}: 2 threads against 1", net, "ours", 1.8, net, threads=(2, 1))
        for net in (replace(NARROW, n=500), replace(WIDE, n=500))
    ]
    # Writing to a new array is not arithmetic: for threads, with out= too.
    return [
        replace(job, ways=("assemble", "assemble, out="), repeats=9)
        if job.threads == (2, 1)
        else replace(job, ways=("assemble",))
        for job in jobs
    ]


def shape(case: Case) -> str:
    """The sizes of the layers of a finite network."""
    return "-".join(map(str, (case.features, *case.widths, case.outputs)))


def title(case: Case) -> str:
    """What a table says of a finite network."""
    return f"{shape(case)}, {'biases' if case.bias_std else 'no bias'}"


JOBS = [*_infinite(), *_empirical(), *_images(), *_floor(), *_scaling()]
