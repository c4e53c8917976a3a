# A person's word counts for steps that are not reached yet, and is held against their own probe.
tx a
tx b
tx c done_if
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
resolve b done
  resolved b
resolve nosuch done
  refused: this cannot follow what has happened in the run: the playbook has no step nosuch
done a
  a is ok
  -> done_if c (sync before)
cannot c
  done_if_asked c
  run ends failed
  finished failed
resolve c done
  resolved c
  finished failed
resume
  run_resumed
  -> check memory r1/a (sync before)
forgot
  memory_checked
  -> done_if c
no c
  done_if_asked c
  run ends failed
  finished failed
