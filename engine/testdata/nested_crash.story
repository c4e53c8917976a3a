# A crash inside of a nested playbook. Its inputs and vars are read back, not evaluated again; an effect that was
# cut off is asked about by its own path, and never repeated.
play n in.dir=inputs.dir
  vars d=inputs.dir
  once a with=inputs.dir
  tx b with=vars.d
  outputs x=steps.a.v
once z with=steps.n.x
----
start dir=/backups
  run_started
  begun n {dir: /backups} {d: /backups}
  intended n/a attempt 1 token r1/n/a class unrepeatable
  -> execute n/a with=/backups (sync before)
crash
resume
  run_resumed
  -> settle n/a epoch 1 (sync before)
settle n/a
  settled n/a: unknown
  n/a is in doubt: it is not known whether the effect happened
  waiting: step n/a is in doubt
resolve n/a not-done
  resolved n/a
  intended n/a attempt 2 token r1/n/a class unrepeatable
  -> execute n/a with=/backups (sync before)
done n/a v=5
  n/a is ok {v: 5}
  intended n/b attempt 1 token r1/n/b class transactional
  -> execute n/b with=/backups (sync before)
crash
resume
  run_resumed
  -> settle n/b epoch 2 (sync before)
settle n/b done
  settled n/b: done
  n/b is ok
  n is ok {x: 5}
  intended z attempt 1 token r1/z class unrepeatable
  -> execute z with=5 (sync before)
crash
resume
  run_resumed
  -> check memory r1/n/b (sync before)
forgot
  memory_checked
  -> settle z epoch 3
settle z
  settled z: unknown
  z is in doubt: it is not known whether the effect happened
  waiting: step z is in doubt
resolve z done
  resolved z
  run ends ok
  finished ok
