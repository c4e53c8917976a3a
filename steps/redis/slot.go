package redis

import (
	"strconv"
	"sync"
)

// slots is how many slots a cluster divides its keys into.
const slots = 16384

// noSlot stands for a command without a key, and for a target that is no cluster.
const noSlot = -1

var crcTable = sync.OnceValue(func() [256]uint16 {
	var table [256]uint16
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
		table[i] = crc
	}
	return table
})

// slotOf is the slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it.
func slotOf(key string) int {
	if tag, ok := hashTag(key); ok {
		key = tag
	}
	table := crcTable()
	crc := uint16(0)
	for i := range len(key) {
		crc = crc<<8 ^ table[byte(crc>>8)^key[i]]
	}
	return int(crc % slots)
}

// slotOfAll is the slot that all the keys share; noSlot if there is no key. ok is false if they do not
// share one, and then a and b are two that differ.
func slotOfAll(keys []string) (slot int, a, b string, ok bool) {
	slot = noSlot
	for _, k := range keys {
		s := slotOf(k)
		if slot != noSlot && s != slot {
			return noSlot, keys[0], k, false
		}
		slot = s
	}
	return slot, "", "", true
}

// slotTags holds, for each slot, the smallest number that is a hash tag of it.
var slotTags = sync.OnceValue(func() [slots]int32 {
	var tags [slots]int32
	for i := range tags {
		tags[i] = -1
	}
	for n, found := int32(0), 0; found < slots; n++ {
		if s := slotOf(strconv.Itoa(int(n))); tags[s] < 0 {
			tags[s] = n
			found++
		}
	}
	return tags
})

// slotTag is a hash tag of a slot. A marker in a cluster has it, so that the slot alone says where the
// marker is, and no key of the data, which may be a secret, has to be recorded for that.
func slotTag(slot int) string { return strconv.Itoa(int(slotTags()[slot])) }
