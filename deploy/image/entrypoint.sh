#!/bin/sh
# Options are the server's; anything else is a command to run in its place, such as
# `propensity tokens new NAME --scope predict`.
case "${1-}" in
  "" | -*) set -- bentoml serve /srv/propensity "$@" ;;
esac
# BentoML would say so with a traceback.
if ! { mkdir -p "$BENTOML_HOME" && [ -w "$BENTOML_HOME" ]; } 2>/dev/null; then
  echo "propensity: BENTOML_HOME, $BENTOML_HOME, can't be written to; with --read-only, add --tmpfs /tmp" >&2
  exit 1
fi
exec "$@"
