"""The commands of ``python -m worksection_async``."""

# General layout:
#
# call.py      one action, printed       _account.py   the account the environment names
# simulate.py  the simulator, served
# demo.py      the demo: _steps.py is the walk, _pacing.py its eight calls at once
#              _guide.py the session as the walk sees it, _screen.py what is shown and counted, _words.py how
