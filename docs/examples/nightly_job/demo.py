"""Run the job with a simulated account: ``python demo.py [URL]``."""

import os
import sys

from nightly import main

from worksection_async.testing import Simulator

simulator = Simulator(rate=1.0)
with simulator.serve() as account:
    os.environ |= {"WORKSECTION_ACCOUNT": account, "WORKSECTION_API_KEY": simulator.api_key}
    main(*sys.argv[1:])
