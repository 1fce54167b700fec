"""Submits empty tasks to Ray, with arguments like a sweep's; prints tasks per second and the bytes of each here."""

import argparse
import logging
import resource
import time

import ray

parser = argparse.ArgumentParser()
parser.add_argument("tasks", type=int)
arguments = parser.parse_args()

ray.init("local", log_to_driver=False, logging_level=logging.ERROR)
shared = ray.put("the launcher")
empty = ray.remote(max_retries=0)(lambda launcher, overrides, index: None)
ray.get([empty.remote(shared, ["seed=0"], index) for index in range(200)])  # starts the workers
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
overrides = [
    [f"seed={index}", "hydra.sweep.dir=multirun", f"hydra.sweep.subdir=seed={index}"]
    for index in range(arguments.tasks)
]
ray.get([empty.remote(shared, each, index) for index, each in enumerate(overrides)])
seconds = time.perf_counter() - began
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(arguments.tasks / seconds, 1024 * grown / arguments.tasks)
