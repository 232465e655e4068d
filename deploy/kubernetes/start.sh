#!/bin/sh
# Starts the node of this pod. A StatefulSet's pods differ only in their number, and a node needs an id and the
# addresses of its peers:
#
# - The id is the pod's number plus 1, or what node-ids says for this pod.
# - The first $FORMING_NODES pods form the cluster, so each of them lists all of them. A pod that comes later, or that
#   node-ids lists, joins: it waits for `rstmdb-cli cluster add`.
# - Both say something only while the data folder is empty. After that the members are those of the log. So a pod whose
#   volume was lost is refused by the others until node-ids gives it a new id: it has forgotten its votes.
set -eu

ids=${NODE_IDS:-/etc/rstmdb/node-ids}
set_name=${POD_NAME%-*}
number=${POD_NAME##*-}

# The addresses of a pod for nodes and for clients, as RSTMDB_PEERS has them. All pods of the Kubernetes cluster can
# resolve such a name.
host() {
  printf '%s-%s.%s.%s.svc' "$set_name" "$1" "$SERVICE_NAME" "$POD_NAMESPACE"
}

entry() {
  printf '%s=%s:7402/%s:7401' "$1" "$(host "$2")" "$(host "$2")"
}

given=
# The last line may lack its end.
while read -r pod id rest || [ -n "$pod" ]; do
  [ "$pod" = "$POD_NAME" ] || continue
  case "$id $rest" in
    ' ' | *[!0-9]*' ' | *' '?*)
      echo "start.sh: $ids: \"$pod $id $rest\" is not a pod, a space and an id" >&2
      exit 1
      ;;
  esac
  given=$id
done <"$ids"
RSTMDB_NODE_ID=${given:-$((number + 1))}
export RSTMDB_NODE_ID

RSTMDB_PEERS=
other=0
while [ "$other" -lt "$FORMING_NODES" ]; do
  RSTMDB_PEERS=$RSTMDB_PEERS,$(entry $((other + 1)) "$other")
  other=$((other + 1))
done

if [ -n "$given" ] || [ "$number" -ge "$FORMING_NODES" ]; then
  RSTMDB_PEERS=$(entry "$RSTMDB_NODE_ID" "$number")
  # Any one of them is enough.
  RSTMDB_JOIN=
  for other in 0 1 2; do
    [ "$other" -eq "$number" ] || RSTMDB_JOIN=$RSTMDB_JOIN,$(host "$other"):7402
  done
  RSTMDB_JOIN=${RSTMDB_JOIN#,}
  export RSTMDB_JOIN
else
  RSTMDB_PEERS=${RSTMDB_PEERS#,}
  unset RSTMDB_JOIN
fi
export RSTMDB_PEERS

# In place of the shell: the node gets SIGTERM itself.
exec rstmdb --config "${RSTMDB_CONFIG:-/etc/rstmdb/rstmdb.yaml}" "$@"
