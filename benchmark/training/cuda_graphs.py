"""Updates captured as CUDA graphs, which a GPU replays without waiting for the host to launch each kernel."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from benchmark.training.player import Terms


class CudaGraphs:
    """Graphs on a GPU. All of them draw from the given generators and share a memory pool."""

    def __init__(self, *generators: torch.Generator) -> None:
        self.generators, self.device = generators, generators[0].device
        self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def warmup_stream(self) -> Iterator[None]:
        """Runs work on the stream of the captures, where torch requires that lazy initialisation happens."""
        training = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(training)
        try:
            with torch.cuda.stream(self.stream):
                yield
        finally:
            training.wait_stream(self.stream)

    def capture(self, work: Callable[[], Terms]) -> tuple[Terms, Callable[[], None]]:
        """Capture work as a CUDA graph. Other threads, such as the one that fetches images, keep running."""
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        try:
            with torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local"):
                terms = work()
        except BaseException:
            self.pool = torch.cuda.graph_pool_handle()  # a failed capture may leave the old pool in any state
            raise
        return terms, graph.replay
