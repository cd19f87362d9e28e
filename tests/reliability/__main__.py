from tests.reliability.page import write

write()
