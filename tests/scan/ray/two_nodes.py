"""A program: a scan on a cluster of two nodes, of which one is gone in the midst; says what came of it.

python -m tests.scan.ray.two_nodes FOLDER
"""

from __future__ import annotations

import json
import sys
import threading
import time
from functools import partial
from pathlib import Path

from tests.scan.fake_model import random_corpus
from tests.scan.helpers import RoughModel, SlowModel
from tests.scan.test_scan import digests, new_scan
from tui_lookups.scan.ray.cluster import RayCluster
from tui_lookups.scan.ray.scan import RayScan
from tui_lookups.scan.ray.workers import RayWorkers
from tui_lookups.scan.scan import run_scan

PROMPTS = 600
STORE = 100 << 20


def main(folder: Path) -> None:
    from ray.cluster_utils import Cluster  # not above: what Ray reads when it is imported is a test's matter

    traces = folder / "traces"
    traces.mkdir()
    corpus = random_corpus(PROMPTS)
    run_scan(new_scan(RoughModel(gated=True), corpus, folder / "alone"))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    try:
        second = cluster.add_node(num_cpus=1, object_store_memory=STORE)
        cluster.wait_for_nodes()
        workers = RayWorkers(
            RayCluster(cluster.address, processors=1), partial(SlowModel, str(traces), 0.05),
            count=2, processors=1, gpus_each=0,
        )  # fmt: skip
        report = workers.open(lambda: None)
        scan = RayScan(
            workers, report.scanned, corpus, folder / "shared",
            layers=range(3), top=6, batch_tokens=40, checkpoint_seconds=1e9, sample=12,
        )  # fmt: skip
        workers_then: list[int] = []

        def take_away() -> None:
            deadline = time.monotonic() + 60
            while len(list(traces.iterdir())) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.3)  # some batches into its shard
            workers_then.append(len(list(traces.iterdir())))
            cluster.remove_node(second, allow_graceful=False)

        thread = threading.Thread(target=take_away)
        thread.start()
        try:
            index = run_scan(scan)
            thread.join()
        finally:
            workers.close(10)
        again = sum(len(trace.read_text().splitlines()) for trace in traces.iterdir()) - len(scan.plan)
        identical = digests(folder / "shared") == digests(folder / "alone")
        said = {"workers": workers_then, "prompts": index.manifest.prompts, "again": again}
        print(json.dumps(said | {"identical": identical}))
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
