# An approval inside of a nested playbook is bound to both files, and is void AFTER a correction. A step that is not
# reached yet can be resolved by its path.
play n
  tx a
  ask sure
  tx b
----
start
  run_started
  begun n
  intended n/a attempt 1 token r1/n/a class transactional
  -> execute n/a (sync before)
resolve n/b skip
  resolved n/b
resolve n/x done
  refused: this cannot follow what has happened in the run: the playbook has no step n/x
done n/a
  n/a is ok
  approval_asked n/sure
  -> ask a person n/sure (sync before)
approve n/sure
  approval_given n/sure
  run ends ok
  finished ok
crash
state
  n ok
  . n/a ok
  . n/sure ok
  . n/b resolved
