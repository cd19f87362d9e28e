"""Python imports this module at its start if the folder is in PYTHONPATH: the example's limiter becomes faster.

An example has the default rate, one request per second, as it should in a product.
"""

import os

from worksection_async import FileTokenBucket
from worksection_async.redis import RedisTokenBucket

for bucket in (FileTokenBucket, RedisTokenBucket):
    _, *others = bucket.__init__.__defaults__ or ()
    bucket.__init__.__defaults__ = (float(os.environ["LIMITER_RATE"]), *others)
