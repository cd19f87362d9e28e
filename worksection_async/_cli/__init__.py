"""The commands of ``python -m worksection_async``."""

# General layout:
#
# call.py      calls one action and prints the reply
#              _download.py saves the file of `download`
# simulate.py  serves the simulator
# demo.py      the demo: _demo_steps.py are its steps, _demo_queue.py the step about the rate limit
#              _demo_session.py shows the calls, _screen.py prints and counts the checks, _text.py formats values
# login.py     the OAuth2 login: _callback.py receives the authorization code, _certificate.py makes a certificate
