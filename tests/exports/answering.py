"""Run by itself: answers for directories, in processes that begin with transformers imported and never had graphvlm.

Each line of the input is JSON: `code`, its `arguments`, the folder `cwd` to run it in, and the file for what it `said`.
The exit code of each is written back.
"""

import json
import os
import sys
import traceback

import safetensors.torch
import transformers.generation
import transformers.models.auto

assert safetensors.torch
assert transformers.generation
assert transformers.models.auto

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        sys.argv = ["-c", *asked["arguments"]]
        os.chdir(asked["cwd"])
        said = os.open(asked["said"], os.O_WRONLY)
        os.dup2(said, 1)
        os.dup2(said, 2)
        try:
            exec(asked["code"], {"__name__": "__main__"})
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
