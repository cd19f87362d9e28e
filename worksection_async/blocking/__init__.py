"""A client without ``await``: for scripts, cron jobs, Celery tasks, Django views and notebooks."""
