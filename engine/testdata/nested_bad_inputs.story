# What a step gives is refused by the playbook: nothing of it is begun, and a resume tries it again.
read a
play n in.dir=steps.a.v
  tx b
  always
    idem tidy
play m in.dir=bad on_error=continue
  tx c
tx z
----
start
  run_started
  -> execute a (sync before)
done a v=bad
  a is ok {v: bad}
  n is failed, effect none: input dir must not be bad
  run ends failed
  finished failed
resume
  run_resumed
  n is failed, effect none: input dir must not be bad
  run ends failed
  finished failed
