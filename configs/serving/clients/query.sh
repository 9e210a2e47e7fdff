#!/bin/sh
# Asks a server over REST with curl: sh query.sh localhost:8501 sentiment "A wonderful film." "Dull."
# Prints the answer's JSON, or the server's message with exit code 22.
set -eu
[ $# -ge 3 ] || { echo "usage: query.sh HOST:PORT MODEL TEXT..." >&2; exit 2; }
host=$1 model=$2
shift 2

instances=
for text in "$@"; do # a JSON string: \ and " escaped, line ends and tabs as spaces
    escaped=$(printf '%s' "$text" | tr '\n\r\t' '   ' | sed 's/\\/\\\\/g; s/"/\\"/g')
    instances="$instances${instances:+,}\"$escaped\""
done

printf '{"instances": [%s]}' "$instances" |
    curl --silent --show-error --fail-with-body --max-time 30 --header 'Content-Type: application/json' \
        --data-binary @- "http://$host/v1/models/$model:predict"
echo
