package redis

import (
	"context"

	"github.com/handrail-dev/handrail/engine"
)

// Examine says what keeps runs from having their locks in this target.
func (b *lockbook) Examine(ctx context.Context) ([]engine.Lack, error) {
	var lacks []engine.Lack
	policy, err := b.evicts(ctx)
	if err != nil {
		return nil, err
	}
	if policy != "" {
		lacks = append(lacks, engine.Lack{Lasting: true, What: "the server " + evicting(policy) + ", and with it a lock", Remedy: keepElsewhere})
	}
	role, err := b.told(ctx, "ask for its role", "replication", "role")
	if err != nil {
		return lacks, err
	}
	if role == "slave" {
		lacks = append(lacks, engine.Lack{Lasting: true, What: "the server is a replica, which takes no writes",
			Remedy: "let the target point to its master, or be of type sentinel, which finds it"})
	}
	err = b.c.follow(ctx, b.slot, b.c.patience(), func(t try) error {
		more, err := t.node.rights(ctx, b.c.line, lockErrands())
		lacks = append(lacks, more...)
		return err
	})
	return lacks, err
}

// lockErrands are the commands that locks need, those of their scripts included.
func lockErrands() []errand {
	lock, life := lockKey(unnamed), lifeKey(unnamed)
	return []errand{
		{words: []any{"EVAL", "return 1", 3, lockSet, life, lock}},
		{words: []any{"HMGET", lock, "run"}},
		{words: []any{"HSET", lock, "run", ""}},
		{words: []any{"HINCRBY", lock, "fence", 1}},
		{words: []any{"SADD", lockSet, lock}},
		{words: []any{"SMEMBERS", lockSet}},
		{words: []any{"GET", life}},
		{words: []any{"SET", life, "", "PX", 1}},
		{words: []any{"PTTL", life}},
		{words: []any{"EXISTS", life}},
		{words: []any{"DEL", life}},
	}
}
