# A step that was to wipe a target and failed may have done so: the next one that writes there is told.
tx a on=db
once b on=box wipes=db on_error=continue
tx c on=db
----
start
  run_started
  intended a attempt 1 token r1/a class transactional
  -> execute a (sync before)
done a
  a is ok
  intended b attempt 1 token r1/b class unrepeatable
  -> execute b (sync before)
fail b unknown
  b is failed, effect unknown: it broke
  intended c attempt 1 token r1/c class transactional
  -> execute c wiped (sync before)
done c
  c is ok
  run ends degraded
  finished degraded
