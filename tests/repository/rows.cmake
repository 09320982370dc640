# cmake -DLAYERS=cmake/layers.cmake -P rows.cmake: a USES that the picture forbids stops the configuration.
# With -DCOMPONENT=... -DUSES=a,b it only performs that one check, for the loop below.

cmake_minimum_required(VERSION 3.25)
include("${LAYERS}")
if(COMPONENT)
    string(REPLACE "," ";" USES "${USES}")
    ckit_check_uses(${COMPONENT} ${USES})
    return()
endif()

function(expect outcome component uses)
    execute_process(COMMAND ${CMAKE_COMMAND} -DLAYERS=${LAYERS} -DCOMPONENT=${component} -DUSES=${uses}
                            -P ${CMAKE_CURRENT_LIST_FILE}
                    RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE error)
    # Refused for the reason we mean, not for a mistake in the check itself.
    if((outcome STREQUAL "refused") AND NOT (error MATCHES "may not use|has no row"))
        message(SEND_ERROR "${component} USES ${uses} was not refused: ${error}")
    elseif((NOT result EQUAL 0) AND (outcome STREQUAL "accepted"))
        message(SEND_ERROR "${component} USES ${uses} was refused: ${error}")
    endif()
endfunction()

expect(accepted format base)
expect(accepted backend/file base,format)
expect(accepted cache base,format,memory,observe,guard)
expect(accepted config cache,backend/file)
expect(refused base format)
expect(refused format memory)
expect(refused memory observe)
expect(refused backend/file backend/redis)
expect(refused backend/file memory)
expect(refused cache backend/file)
expect(refused nobody base)
