"""The commands of ``worksection``, one module each."""

# General layout:
#
# app.py       the table of commands; _command.py are their classes, _exit_codes.py their exit codes
# call.py, tasks.py, watch.py, download.py
#              run in a session: _runner.py opens it, _waiting_line.py shows waits, _journal.py knows what was sent
#              _parameters.py reads name=value, _forms.py has a form for each format of the protocol
#              _output.py prints JSON, CSV and tables, _records.py finds the records in a reply, _table.py draws
# actions.py   lists the actions
# completion.py, _completion.py
#              the scripts for bash, zsh and fish
# simulate.py  serves the simulator
# demo.py      the demo: _demo_steps.py are its steps, _demo_queue.py the step about the rate limit
#              _demo_session.py shows the calls, _screen.py prints and counts the checks, _text.py formats values
# login.py     the OAuth2 login: _callback.py receives the authorization code, _certificate.py makes a certificate
